import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, onTestFailed, test } from "vitest";
import type { SessionRecord } from "../../src/domain/record.js";
import { type Home, Operator } from "../support/operator.js";

/** How long a phase is held, so that a person (a process that takes a second to start) hits it. */
const HELD_MS = 9_000;

let op: Operator;
/** Serves bytes that never end, as an image server behind a bad line does. */
let slowServer: Server;

beforeAll(async () => {
  slowServer = createServer((_request, response) => {
    response.writeHead(200, { "content-length": 1_000_000 });
    const drip = setInterval(() => response.write("x"), 200);
    response.once("close", () => clearInterval(drip));
  });
  await new Promise<void>((resolve) => slowServer.listen(0, "127.0.0.1", resolve));
  const held = (method: "GET" | "PATCH", path: string, times?: number) => ({
    fault: "delay" as const,
    ms: HELD_MS,
    match: { method, path },
    ...(times === undefined ? {} : { times }),
  });
  op = await Operator.start({
    machines: [
      { name: "waiting" },
      { name: "capturing", bmcFaults: [held("GET", "/BootOptions", 1)] },
      { name: "staging" },
      { name: "arming", bmcFaults: [held("PATCH", "/Systems/1", 1)] },
      { name: "shutting-down", ignorePowerButton: true },
      { name: "booting", faults: { noFirstContact: true } },
      { name: "working", firmware: "uefi" },
      { name: "working-passively" },
      { name: "was-off", power: "off" },
      { name: "returning", bmcFaults: [held("GET", "/VirtualMedia")] },
    ],
  });
  await op.addImage("noise");
  const zeros = "0".repeat(64);
  const nowhere = `http://127.0.0.1:${(slowServer.address() as AddressInfo).port}`;
  await op.apply(`
kind: Image
name: far-away
role: maintenance
arch: x86_64
kernel: {url: "${nowhere}/vmlinuz", sha256: "${zeros}"}
initrds: [{url: "${nowhere}/initrd", sha256: "${zeros}"}]
---
kind: Action
name: approved-first
image: noise
mode: active
approval: true
---
kind: Action
name: long
image: noise
mode: active
tasks: [{name: sleep, script: "echo asleep; exec sleep 600", timeout: 15m}]
---
kind: Action
name: long-passive
image: noise
mode: passive
tasks: [{name: sleep, script: "exec sleep 600", timeout: 15m}]
---
kind: Action
name: short
image: noise
mode: active
# What hangs is given this long, as its own system may be on its way up.
limits: {home: 60s}
tasks: [{name: look, script: "echo done"}]
`);
}, 240_000);

afterAll(async () => {
  await op?.close();
  slowServer?.closeAllConnections();
  await new Promise((resolve) => slowServer?.close(resolve));
}, 60_000);

interface Case {
  target: string;
  phase: SessionRecord["phase"];
  args: string[];
  /** The target's own system was never asked to go. */
  staysUp: boolean;
  untouched: boolean;
}

const cases: Case[] = [
  { target: "waiting", phase: "waiting", args: ["-a", "approved-first"], staysUp: true, untouched: true },
  { target: "capturing", phase: "capturing", args: ["-a", "short"], staysUp: true, untouched: true },
  { target: "staging", phase: "staging", args: ["-a", "short", "--image", "far-away"], staysUp: true, untouched: true },
  { target: "arming", phase: "arming", args: ["-a", "short"], staysUp: true, untouched: false },
  { target: "shutting-down", phase: "rebooting", args: ["-a", "short"], staysUp: true, untouched: false },
  { target: "booting", phase: "rebooting", args: ["-a", "short"], staysUp: false, untouched: false },
  { target: "working", phase: "working", args: ["-a", "long"], staysUp: false, untouched: false },
  { target: "working-passively", phase: "working", args: ["-a", "long-passive"], staysUp: false, untouched: false },
];

describe.concurrent("an abort brings the target home from", () => {
  test.for(cases.map((each) => [each.phase, each.target, each] as const))(
    "%s (%s)",
    { timeout: 180_000 },
    async ([phase, target, { args, staysUp, untouched }]) => {
      onTestFailed(() => console.log(op.story));
      const before = await op.home(target);
      const waiting = op.run("run", target, ...args, "--wait");
      await op.untilPhase(target, phase);
      if (target === "booting") await untilHung(target);
      expect(await op.run("session", "abort", target, "--reason", "wrong rack")).toMatchObject({
        exit: 0,
        out: `${target}: the work ends; the target is brought home.\n`,
        err: "",
      });
      const said = await waiting;
      expect(said.exit).toBe(1);
      expect(said.err).toMatch(
        /: aborted \(Aborted by \S+: wrong rack\); the target (was not touched|is home \(proved\))/,
      );

      const record = (await op.record(target)) as SessionRecord;
      expect(record).toMatchObject({
        outcome: "aborted",
        ending: "restored",
        untouched,
        phase: "restored",
        failure: { code: "aborted", message: expect.stringMatching(/^Aborted by \S+: wrong rack\.$/) },
        stranded: null,
      });
      expect(record.phases.map(({ name }) => name)).toContain(phase);
      if (record.restore.before !== null) {
        expect(record.home).toMatchObject({ proved: true, strength: "strong" });
        expect(record.restore.differences).toEqual([]);
      }
      await expectAtHome(target, before, staysUp);
      if (untouched) expect(op.writes(target)).toEqual([]);
      expect(record.powerActions.every(({ what, why }) => what !== "" && why !== "")).toBe(true);
    },
  );

  test("a target that was off, working: off again, and its own system was never started", {
    timeout: 120_000,
  }, async () => {
    const waiting = op.run("run", "was-off", "-a", "long", "--wait", "--json");
    await op.untilPhase("was-off", "working");
    expect(await op.run("session", "abort", "was-off")).toMatchObject({ exit: 0 });
    const said = await waiting;
    expect(said.exit).toBe(1);
    expect(JSON.parse(said.out)).toMatchObject({
      outcome: "aborted",
      ending: "restored",
      home: { proved: true, strength: "off" },
      restore: { differences: [] },
    });
    expect(await op.answersAtHome("was-off")).toBe(false);
    expect(op.bmc("was-off")).toMatchObject({ wasOn: false, override: { enabled: "Disabled" } });
    expect(op.seen("was-off").filter((line) => line.startsWith("power start"))).toEqual(["power start pxe (Reset On)"]);
  });
});

test("on its way home a session refuses an abort in one sentence, and arrives", { timeout: 180_000 }, async () => {
  const before = await op.home("returning");
  const waiting = op.run("run", "returning", "-a", "short", "--wait");
  for (const phase of ["restoring", "verifying"] as const) {
    await op.untilPhase("returning", phase);
    expect(await op.run("session", "abort", "returning")).toEqual({
      exit: 2,
      out: "",
      err: "The session cannot abort: it is on its way home already.\n",
    });
  }
  expect(await waiting).toMatchObject({ exit: 0, err: "" });
  expect(await op.record("returning")).toMatchObject({ outcome: "succeeded", ending: "restored" });
  await expectAtHome("returning", before, false);
  expect(await op.run("session", "abort", "returning")).toMatchObject({
    exit: 2,
    out: "",
    err: expect.stringMatching(/^There is no open session returning\b.*\n$/),
  });
});

/** The same system on the same disk, the BMC as it was, and nothing armed. */
async function expectAtHome(target: string, before: Home, staysUp: boolean): Promise<void> {
  const after = await op.home(target);
  expect(after).toMatchObject({ machineId: before.machineId, userFileSha256: before.userFileSha256 });
  expect(after.bootCount).toBe(before.bootCount + (staysUp ? 0 : 1));
  expect(after.bootId === before.bootId).toBe(staysUp);
  expect(op.bmc(target)).toEqual({
    override: { enabled: "Disabled", target: "None", httpBootUri: null },
    medium: null,
    wasOn: true,
  });
}

/** The image was started and hangs. */
async function untilHung(target: string): Promise<void> {
  await expect
    .poll(() => op.seen(target).filter((line) => line.startsWith("power start pxe")), { timeout: 30_000 })
    .toHaveLength(1);
}
