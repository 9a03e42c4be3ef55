import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, onTestFailed, test } from "vitest";
import { type Home, Operator, until } from "../support/operator.js";

/** The windows of docs/reliability.md: moments in which no lease, override or watchdog brings a target home by itself. */
const BETWEEN = "between-off-and-on";
const HUNG = "hung-before-kernel";
const WAS_OFF = "reset-though-off";

let op: Operator;
beforeAll(async () => {
  op = await Operator.start({
    machines: [
      { name: BETWEEN },
      { name: HUNG, faults: { hangsAfterScript: true } },
      { name: WAS_OFF, power: "off", faults: { resetAfterMs: 12_000 } },
    ],
  });
  await op.addImage("noise");
  await op.apply(`
kind: Action
name: hold
image: noise
mode: active
limits: {boot: 60s, bootAttempts: 1, lease: 60s, work: 60s, home: 2m}
tasks: [{name: hold, script: "sleep 20"}]
`);
}, 300_000);
afterAll(() => op?.close(), 60_000);

test("servers that die in a window find their targets where they left them, and bring them home when they are back", {
  timeout: 600_000,
}, async () => {
  onTestFailed(() => console.log(op.story, op.seen(BETWEEN), op.seen(HUNG), op.seen(WAS_OFF)));
  const before = new Map<string, Home>();
  for (const name of [BETWEEN, HUNG]) before.set(name, await op.home(name));
  await restartHolding(BETWEEN);
  for (const name of [BETWEEN, HUNG, WAS_OFF]) {
    expect(await op.run("run", name, "-a", "hold")).toMatchObject({ exit: 0, err: "" });
  }
  await until("the power is about to come", async () => (op.story.includes(`held ${BETWEEN}`) ? true : null), 60_000);
  await until("the image hangs", async () => (last(HUNG).startsWith("start pxe") ? true : null), 60_000);
  await op.untilPhase(WAS_OFF, "working");
  const temporal = op.temporalPid();
  await op.serve?.end("SIGKILL");
  process.kill(temporal, "SIGKILL");

  // A watchdog or panic= knows reset only: the target that was off runs its own system now.
  await until(`${WAS_OFF} reset itself`, async () => (last(WAS_OFF).startsWith("start disk") ? true : null), 60_000);
  await sleep(3_000);
  expect(last(BETWEEN)).toMatch(/^(guest-off|off)/);
  expect(await op.answersAtHome(BETWEEN)).toBe(false);
  expect(await op.answersAtHome(HUNG)).toBe(false);

  delete op.env.NODE_OPTIONS;
  await op.startServe();
  for (const name of [BETWEEN, HUNG, WAS_OFF]) {
    const record = await op.untilEnded(name, 240_000);
    expect(record).toMatchObject({ ending: "restored", restore: { differences: [] }, home: { proved: true } });
    expect(op.bmc(name)).toMatchObject({ override: { enabled: "Disabled" }, wasOn: name !== WAS_OFF });
  }
  for (const name of [BETWEEN, HUNG]) {
    expect((await op.home(name)).machineId).toBe(before.get(name)?.machineId);
  }
  expect(await op.answersAtHome(WAS_OFF)).toBe(false);
});

/** Serve starts anew and never gets beyond the moment right before the target's power-on: its second Reset. */
async function restartHolding(target: string): Promise<void> {
  op.write(
    "hold.mjs",
    `let resets = 0;
globalThis[Symbol.for("pitstop.effects")] = async (effect) => {
  if (effect.target !== ${JSON.stringify(target)} || effect.when !== "before" || !/^bmc.POST .*Reset$/.test(effect.point)) return;
  resets += 1;
  if (resets < 2) return;
  console.log("held ${target}");
  await new Promise(() => {});
};
`,
  );
  await op.serve?.end("SIGTERM");
  op.env.NODE_OPTIONS = `--import ${pathToFileURL(join(op.dir, "hold.mjs")).href}`;
  await op.startServe();
}

/** The last thing that happened to the machine's power. */
const last = (name: string): string =>
  op
    .seen(name)
    .filter((line) => line.startsWith("power "))
    .at(-1)
    ?.slice("power ".length) ?? "";
