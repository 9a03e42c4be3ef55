import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { Agent, request } from "undici";
import { afterAll, beforeAll, expect, onTestFailed, test } from "vitest";
import { stringify } from "yaml";
import { type Home, Operator, until } from "../support/operator.js";

/** The windows of docs/reliability.md: moments in which no lease, override or watchdog brings a target home by itself. */
const BETWEEN = "between-off-and-on";
const BUTTON = "between-and-a-person";
const HUNG = "hung-before-kernel";
const WAS_OFF = "reset-though-off";
/** Kernels that hang in the midst of the work, and no watchdog: their guards hang with them. */
const MUTE = "mute";
const MUTE_OFF = "mute-though-off";
const MUTE_LONG = "mute-beyond-its-lease";
const LASTING = "continuous-only";
const LASTING_RESET = "continuous-and-reset";
const ALL = [BETWEEN, BUTTON, HUNG, WAS_OFF, MUTE, MUTE_OFF, MUTE_LONG, LASTING];
const OFF = [WAS_OFF, MUTE_OFF];

/** More than a busy host needs from the agent's start to its task. */
const SILENT_MS = 10_000;
const SHORT_LEASE_MS = 30_000;

let op: Operator;
beforeAll(async () => {
  const lasting = { bmcFaults: [{ fault: "continuous-only" as const }] };
  const silent = { faults: { silentAfterMs: SILENT_MS } };
  op = await Operator.start({
    machines: [
      { name: BETWEEN },
      { name: BUTTON },
      { name: HUNG, faults: { hangsAfterScript: true } },
      { name: WAS_OFF, power: "off", faults: { resetAfterMs: 12_000 } },
      { name: MUTE, ...silent },
      { name: MUTE_OFF, power: "off", ...silent },
      { name: MUTE_LONG, ...silent },
      { name: LASTING, ...lasting },
      { name: LASTING_RESET, ...lasting, faults: { resetAfterMs: 5_000 } },
    ],
  });
  for (const name of [LASTING, LASTING_RESET]) {
    const target = op.target(name);
    await op.apply(stringify({ ...target, boot: { ...target.boot, allow: ["continuous-override"] } }));
  }
  await op.addImage("noise");
  const limits = "boot: 60s, bootAttempts: 1";
  await op.apply(`
kind: Action
name: hold
image: noise
mode: active
limits: {${limits}, lease: 60s, work: 60s, home: 2m}
tasks: [{name: hold, script: "sleep 20"}]
---
kind: Action
name: long-lease
image: noise
mode: active
limits: {${limits}, lease: 20m, work: 60s, home: 2m}
tasks: [{name: hold, script: "sleep 3600", timeout: 2h}]
---
kind: Action
name: short-lease
image: noise
mode: active
limits: {${limits}, lease: ${SHORT_LEASE_MS / 1000}s, work: 10m, home: 30s}
tasks: [{name: hold, script: "sleep 3600", timeout: 2h}]
---
kind: Action
name: look
image: noise
mode: active
tasks: [{name: look, script: "sleep 8"}]
`);
}, 300_000);
afterAll(() => op?.close(), 60_000);

test("a BMC that knows Continuous only: away and home, disarmed while off; an image that resets is sent home by the site", {
  timeout: 240_000,
}, async () => {
  const names = [LASTING, LASTING_RESET];
  onTestFailed(() => console.log(op.story, names.map((name) => op.seen(name)).join("\n")));
  const before = await homes(names);
  for (const name of names) expect(await op.run("run", name, "-a", "look")).toMatchObject({ exit: 0, err: "" });
  await op.untilPhase(LASTING, "working");
  expect(op.bmc(LASTING).override).toMatchObject({ enabled: "Continuous", target: "Pxe" });

  const outcomes = new Map([
    [LASTING, "succeeded"],
    [LASTING_RESET, "failed"],
  ]);
  for (const name of names) {
    const record = await op.untilEnded(name);
    expect(record).toMatchObject({ ending: "restored", outcome: outcomes.get(name), home: { proved: true } });
    expect(record.restore.differences).toEqual([]);
    expect(op.bmc(name).override.enabled).toBe("Disabled");
    expect(await op.home(name)).toMatchObject(oneBootLater(before, name));
  }
  expect(power(LASTING).slice(-3)).toEqual(["start pxe", "guest-off", "start disk"]);
  // Its firmware asked the network first, and the site, which knew the boot as over, had it go on to its disk.
  expect(power(LASTING_RESET).slice(-3)).toEqual(["start pxe", "guest-reset", "start pxe"]);
});

test("servers that die in a window find their targets where they left them, and bring them home when they are back", {
  timeout: 900_000,
}, async () => {
  onTestFailed(() => console.log(op.story, ALL.map((name) => `${name}:\n${op.seen(name).join("\n")}`).join("\n")));
  const before = await homes(ALL.filter((name) => !OFF.includes(name)));
  await restartHolding([BETWEEN, BUTTON]);
  for (const name of [BETWEEN, BUTTON, HUNG]) await run(name, "hold");
  for (const name of [MUTE, MUTE_OFF]) await run(name, "long-lease");
  for (const name of [BETWEEN, BUTTON]) {
    await until("the power is about to come", async () => (op.story.includes(`held ${name}`) ? true : null), 60_000);
  }
  await until("the image hangs", async () => (power(HUNG).at(-1) === "start pxe" ? true : null), 60_000);
  for (const name of [MUTE, MUTE_OFF]) await op.untilPhase(name, "working");
  for (const name of [MUTE_LONG, LASTING]) await run(name, "short-lease");
  await run(WAS_OFF, "hold");
  for (const name of [MUTE_LONG, LASTING, WAS_OFF]) await op.untilPhase(name, "working");
  const temporal = op.temporalPid();
  await op.serve?.end("SIGKILL");
  process.kill(temporal, "SIGKILL");
  const leasesEnd = sleep(SHORT_LEASE_MS + 1_000);

  // A watchdog or panic= knows reset only: the target that was off runs its own system now.
  await until(`${WAS_OFF} reset itself`, async () => (power(WAS_OFF).at(-1) === "start disk" ? true : null), 60_000);
  // The lasting override is asked first at each boot, and nobody answers.
  expect(await op.home(LASTING, 90_000)).toMatchObject(oneBootLater(before, LASTING));
  expect(power(LASTING).slice(-2)).toEqual(["guest-reset", "start pxe"]);
  expect(op.bmc(LASTING).override.enabled).toBe("Continuous");
  // So it is with the one-time one of a target that a person powers on.
  expect(power(BUTTON).at(-1)).toBe("guest-off");
  await reset(BUTTON, "PushPowerButton");
  expect(await op.home(BUTTON)).toMatchObject(oneBootLater(before, BUTTON));
  expect(power(BUTTON).at(-1)).toBe("start pxe");
  await leasesEnd;
  expect(power(BETWEEN).at(-1)).toMatch(/^(guest-off|off)$/);
  for (const name of [HUNG, MUTE, MUTE_OFF, MUTE_LONG]) expect(power(name).at(-1)).toBe("start pxe");
  for (const name of [BETWEEN, HUNG, MUTE, MUTE_OFF, MUTE_LONG]) expect(await op.answersAtHome(name)).toBe(false);

  delete op.env.NODE_OPTIONS;
  await op.startServe();
  await bringHomeByHand(MUTE_LONG);
  for (const name of ALL) {
    const record = await op.untilEnded(name, 240_000);
    expect(record).toMatchObject({ ending: "restored", restore: { differences: [] }, home: { proved: true } });
    expect(op.bmc(name)).toMatchObject({ override: { enabled: "Disabled" }, wasOn: !OFF.includes(name) });
  }
  for (const name of before.keys()) expect(await op.home(name)).toMatchObject(oneBootLater(before, name));
  for (const name of OFF) expect(await op.answersAtHome(name)).toBe(false);
  // The plug is pulled on what is the image for sure, and on nothing that may be the target's own system.
  const forced = ALL.filter((name) => op.seen(name).includes("power kill (Reset ForceOff)"));
  expect(forced).toEqual([HUNG, MUTE, MUTE_OFF]);
  expect(power(MUTE_OFF).at(-1)).toBe("kill");
});

/** Its lease was over when the servers came back: it may be the target's own system that says nothing, and a person is called. */
async function bringHomeByHand(name: string): Promise<void> {
  const { stranded } = await op.untilPhase(name, "stranded", 180_000);
  expect(stranded?.code).toBe("homeNotProved");
  expect(op.bmc(name).override.enabled).toBe("Disabled");
  await reset(name, "ForceRestart");
  await op.home(name);
  expect(await op.run("session", "retry", name)).toMatchObject({ exit: 0, err: "" });
}

async function run(target: string, action: string): Promise<void> {
  expect(await op.run("run", target, "-a", action)).toMatchObject({ exit: 0, err: "" });
}

async function homes(names: string[]): Promise<Map<string, Home>> {
  const found = new Map<string, Home>();
  for (const name of names) found.set(name, await op.home(name));
  return found;
}

function oneBootLater(before: Map<string, Home>, name: string): Partial<Home> {
  const was = before.get(name);
  return { machineId: was?.machineId ?? "", bootCount: (was?.bootCount ?? 0) + 1 };
}

/** Serve starts anew and never gets beyond the moment right before these targets' power-on: their second Reset. */
async function restartHolding(targets: string[]): Promise<void> {
  op.write(
    "hold.mjs",
    `const resets = new Map(${JSON.stringify(targets.map((target) => [target, 0]))});
globalThis[Symbol.for("pitstop.effects")] = async ({ point, when, target }) => {
  if (!resets.has(target) || when !== "before" || !/^bmc.POST .*Reset$/.test(point)) return;
  resets.set(target, resets.get(target) + 1);
  if (resets.get(target) < 2) return;
  console.log("held " + target);
  await new Promise(() => {});
};
`,
  );
  await op.serve?.end("SIGTERM");
  op.env.NODE_OPTIONS = `--import ${pathToFileURL(join(op.dir, "hold.mjs")).href}`;
  await op.startServe();
}

/** As a person at the machine, or with its BMC's own page. */
async function reset(name: string, type: string): Promise<void> {
  const [control] = op.target(name).control;
  const url = control && "redfish" in control ? control.redfish.url : "";
  const { statusCode, body } = await request(`${url}/redfish/v1/Systems/1/Actions/ComputerSystem.Reset`, {
    method: "POST",
    dispatcher: new Agent({ connect: { rejectUnauthorized: false } }),
    headers: {
      authorization: `Basic ${Buffer.from(op.login(name)).toString("base64")}`,
      "content-type": "application/json",
    },
    body: JSON.stringify({ ResetType: type }),
  });
  await body.dump();
  expect(statusCode).toBe(204);
}

/** What happened to the machine's power, without the reasons. */
const power = (name: string): string[] =>
  op.seen(name).flatMap((line) => (line.startsWith("power ") ? [line.slice(6).replace(/ \(.*\)$/, "")] : []));
