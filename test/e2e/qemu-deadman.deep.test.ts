import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, onTestFailed, test } from "vitest";
import type { SessionRecord } from "../../src/domain/record.js";
import { expectRepaired, HeldReconciler, terminate } from "../support/lost-session.js";
import { type Home, Operator, until } from "../support/operator.js";

/** Short, and yet more than a busy host needs between two words of a living session, which come every third of it. */
const LEASE_S = 45;
/** Emulated firmware and kernels, three at once on two busy cores. */
const BOOT_MS = 240_000;

const RUNNING = ["bios-on", "uefi-on"] as const;
const ALL = [...RUNNING, "bios-off"] as const;

const folder = mkdtempSync(join(tmpdir(), "pitstop-deadman-"));
/** Disks that no system of these machines has a reason to write to, beside those that they boot from. */
const extra = new Map(RUNNING.map((name) => [name as string, join(folder, `${name}.img`)]));
/** Temporal, site and server live on, and yet nobody brings home a session that was lost. */
const reconciler = new HeldReconciler(folder);
let op: Operator;

beforeAll(async () => {
  for (const file of extra.values()) writeFileSync(file, randomBytes(4 << 20));
  const qemu = (name: string) => ({ name, kind: "qemu" as const, extraDisks: [extra.get(name) ?? []].flat() });
  const machines = [
    qemu("bios-on"),
    { ...qemu("uefi-on"), firmware: "uefi" as const },
    { ...qemu("bios-off"), power: "off" as const },
    { name: "silence" },
  ];
  op = await Operator.start({ machines }, "10.0.2.2", reconciler.env);
  delete op.env.NODE_OPTIONS;
  await op.addImage("noise");
  await op.apply(`
kind: Action
name: hold
image: pitstop-base
mode: active
limits: {lease: ${LEASE_S}s}
tasks: [{name: hold, script: "sleep 3600", timeout: 2h}]
---
kind: Action
name: hold-process
image: noise
mode: active
limits: {lease: 15s}
tasks: [{name: hold, script: "sleep 3600", timeout: 2h}]
`);
}, 600_000);
afterAll(async () => {
  await op?.close();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

test("a site that lives while Temporal is silent extends no lease: the target is home before Temporal speaks again", {
  timeout: 240_000,
}, async () => {
  onTestFailed(() => console.log(op.story));
  const before = await op.home("silence");
  await away("silence", "hold-process");
  process.kill(op.temporalPid(), "SIGSTOP");
  try {
    const after = await op.home("silence", 120_000);
    expect(after).toMatchObject({ machineId: before.machineId, bootCount: before.bootCount + 1 });
    expect(op.serve?.isOver).toBe(false);
    expect(op.bmc("silence").override.enabled).toBe("Disabled");
  } finally {
    process.kill(op.temporalPid(), "SIGCONT");
  }
  const record = await op.untilEnded("silence", 180_000);
  expect(record).toMatchObject({ ending: "restored", outcome: "failed", home: { proved: true } });
  // It was home already: nobody booted it once more.
  expect((await op.home("silence")).bootCount).toBe(before.bootCount + 1);
});

test("a session that is terminated under a server that lives: nobody extends the lease, and by it the target comes home", {
  timeout: 600_000,
}, async () => {
  onTestFailed(() => console.log(op.story, consoleOf("bios-on").slice(-3000)));
  const before = await op.home("bios-on", BOOT_MS);
  const { session } = await away("bios-on", "hold");
  const [said, asked] = [consoleOf("bios-on").length, op.writes("bios-on").length];
  await terminate(op, "bios-on");

  const after = await op.home("bios-on", LEASE_S * 1000 + BOOT_MS);
  expect(after).toMatchObject({ machineId: before.machineId, bootCount: before.bootCount + 1 });
  expect(after.bootId).not.toBe(before.bootId);
  expect(consoleOf("bios-on").slice(said)).toContain("dead-man: no lease any more; going home (reboot)");
  expect(powerLog("bios-on").slice(-2)).toEqual(["guest-reset", "start disk"]);
  expect(op.bmc("bios-on").override.enabled).toBe("Disabled");
  // It was its lease alone: the reconciler has seen the loss and was held back, and nobody asked anything of the BMC.
  await until("the reconciler is held back", async () => (op.story.includes("held bios-on") ? true : null), 60_000);
  expect(op.writes("bios-on")).toHaveLength(asked);

  reconciler.release();
  await expectRepaired(op, "bios-on", session, before, /was lost/);
});

test("everything is gone for good: each target is home within its lease and the boot of its own system, as it was", {
  timeout: 900_000,
}, async () => {
  onTestFailed(() => console.log(op.story, ALL.map((name) => consoleOf(name).slice(-3000)).join("\n")));
  const before = new Map<string, Home>();
  for (const name of RUNNING) before.set(name, await op.home(name, BOOT_MS));
  const wholeDisk = digest(diskOf("bios-off"));
  const extraDisks = [...extra.values()].map(digest);
  await Promise.all(ALL.map((name) => away(name, "hold")));
  const said = new Map(ALL.map((name) => [name, consoleOf(name).length]));
  const saidSince = (name: (typeof ALL)[number]) => consoleOf(name).slice(said.get(name));

  const temporal = op.temporalPid();
  await op.serve?.end("SIGKILL");
  process.kill(temporal, "SIGKILL");
  const goneAt = Date.now();

  const home = await Promise.all(RUNNING.map((name) => op.home(name, LEASE_S * 1000 + BOOT_MS)));
  await until("bios-off is off", async () => (powerLog("bios-off").at(-1) === "guest-off" ? true : null), BOOT_MS);
  console.log(`everything was gone for ${Math.round((Date.now() - goneAt) / 1000)} s when the last target was home`);

  for (const [index, name] of RUNNING.entries()) {
    const was = before.get(name) as Home;
    expect(home[index]).toMatchObject({ machineId: was.machineId, userFileSha256: was.userFileSha256 });
    expect(home[index]?.bootId).not.toBe(was.bootId);
    expect(home[index]?.bootCount).toBe(was.bootCount + 1);
    expect(saidSince(name)).toContain("dead-man: no lease any more; going home (reboot)");
    expect(powerLog(name).slice(-2)).toEqual(["guest-reset", "start disk"]);
  }
  expect(saidSince("bios-off")).toContain("dead-man: no lease any more; going home (off)");
  for (const name of ALL) expect(op.bmc(name).override.enabled).toBe("Disabled");
  expect([...extra.values()].map(digest)).toEqual(extraDisks);
  expect(digest(diskOf("bios-off"))).toBe(wholeDisk);

  // Servers that come back after all find the targets home, and boot none of them once more.
  await op.startServe();
  await op.run("session", "abort", "bios-off");
  for (const name of ALL) {
    const record = await op.untilEnded(name, 240_000);
    expect(record).toMatchObject({ ending: "restored", restore: { differences: [] }, home: { proved: true } });
  }
  for (const name of RUNNING) {
    expect((await op.home(name)).bootCount).toBe((before.get(name)?.bootCount ?? 0) + 1);
  }
  expect(powerLog("bios-off").at(-1)).toBe("guest-off");
});

/** Starts the action and waits until the target works in the image. */
async function away(target: string, action: string): Promise<SessionRecord> {
  expect(await op.run("run", target, "-a", action)).toMatchObject({ exit: 0, err: "" });
  const record = await op.untilPhase(target, "working", BOOT_MS);
  // The task has begun: what hangs on it is a working agent, not one that has only said hello.
  await sleep(1_000);
  return record;
}

const machineFolder = (name: string) => join(op.data, "lab", "machines", name, "machine");
const diskOf = (name: string) => join(machineFolder(name), "disk.img");
const consoleOf = (name: string) => readFileSync(join(machineFolder(name), "console.log"), "latin1");
const digest = (file: string) => createHash("sha256").update(readFileSync(file)).digest("hex");

/** What happened to the machine's power, without the reasons. */
const powerLog = (name: string): string[] =>
  op.seen(name).flatMap((line) => (line.startsWith("power ") ? [line.slice(6).replace(/ \(.*\)$/, "")] : []));
