import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, onTestFailed, test } from "vitest";
import type { SessionRecord } from "../../src/domain/record.js";
import { Operator } from "../support/operator.js";

let op: Operator;
beforeAll(async () => {
  // The site's URL is the one that QEMU's guests see, as in a lab of both kinds.
  op = await Operator.start(
    {
      machines: [{ name: "p1" }, { name: "p2", firmware: "uefi" }, { name: "p3", power: "off" }, { name: "p4" }],
    },
    "10.0.2.2",
  );
  await op.addImage("noise");
}, 240_000);
afterAll(() => op?.close(), 60_000);
beforeEach(() => onTestFailed(() => console.log(op.story)));

/** The names that a person would type, taken from the lab's own notes. */
function byHand(name: string): string {
  const target = op.target(name);
  const [control] = target.control;
  const [check] = target.home;
  if (!control || !("redfish" in control) || !check || !("http" in check)) throw new Error("not a lab's target");
  writeFileSync(join(op.data, "p1-login"), op.login(name), { mode: 0o600 });
  return `# rack 1, slot 1
kind: Target
name: ${name}
labels: {rack: r1, role: worker}
identity: {uuid: ${target.identity.uuid}, macs: ["${target.identity.macs[0]?.toUpperCase().replaceAll(":", "-")}"]}
control:
  - redfish: {url: "${control.redfish.url}", credentials: {file: p1-login}, tls: {fingerprint256: "${control.redfish.tls.fingerprint256}"}}
boot: {firmware: bios, via: [pxe]}
shutdown: {graceful: 30s, then: abort}
home: [{http: {url: "${check.http.url}", contains: bootId}}]
---
kind: Action
name: greet
description: Says hello from the image.
image: noise
mode: active
params: {whom: {default: world}}
tasks:
  - name: greet
    script: |
      echo "hello $PARAM_WHOM"
      echo "{\\"greeted\\": \\"$PARAM_WHOM\\"}"
  - {name: look, script: "test -n \\"$PITSTOP_SESSION\\" && echo there", timeout: 30s}
`;
}

test("a target and an action written by hand: applied, run, and home, as the record and the machine say", {
  timeout: 120_000,
}, async () => {
  const file = op.write("mine.yaml", byHand("p1"));
  expect(await op.run("apply", "-f", file)).toEqual({
    exit: 0,
    out: "target p1 changed\naction greet created\n",
    err: "",
  });
  expect((await op.run("apply", "-f", file)).out).toBe("target p1 unchanged\naction greet unchanged\n");
  const before = await op.home("p1");

  const said = await op.run("run", "p1", "-a", "greet", "--param", "whom=ada", "--wait");
  expect(said).toMatchObject({ exit: 0, err: "" });
  const told = said.out.split("\n").map((line) => line.replace(/^\d\d:\d\d:\d\d /, ""));
  const phases = ["planning", "capturing", "staging", "arming", "rebooting", "working", "restoring", "verifying"];
  expect(told.filter((line) => phases.includes(line))).toEqual(phases);
  expect(told.at(-2)).toMatch(/^greet on p1: succeeded; the target is home \(proved\) after \d+(\.\d)?s\.$/);

  const record = JSON.parse((await op.run("session", "show", "p1", "--json")).out) as SessionRecord;
  expect(record).toMatchObject({
    outcome: "succeeded",
    ending: "restored",
    untouched: false,
    findings: { greet: { greeted: "ada" } },
    restore: { differences: [], added: [] },
    home: { proved: true, strength: "strong" },
  });
  const after = await op.home("p1");
  expect(after).toMatchObject({ machineId: before.machineId, bootCount: before.bootCount + 1 });
  expect(after.bootId).not.toBe(before.bootId);
  expect(after.userFileSha256).toBe(before.userFileSha256);
});

test("a machine of either firmware, and one that was off, come home as they were", { timeout: 120_000 }, async () => {
  const before = await op.home("p2");
  const said = await op.run("run", "p2", "p3", "-a", "greet", "--wait", "--json");
  expect(said).toMatchObject({ exit: 0, err: "" });
  const records = JSON.parse(said.out) as SessionRecord[];
  expect(records.map(({ target, ending, home }) => [target, ending, home.strength]).sort()).toEqual([
    ["p2", "restored", "strong"],
    ["p3", "restored", "off"],
  ]);
  expect(await op.home("p2")).toMatchObject({ machineId: before.machineId, bootCount: before.bootCount + 1 });
  expect(await op.answersAtHome("p3")).toBe(false);
});

test("work that fails ends with exit code 1 and the log, and the target is home", { timeout: 120_000 }, async () => {
  await op.apply(`
kind: Action
name: broken
image: noise
mode: active
tasks: [{name: check, script: "echo 'disk sda: bad'; exit 3"}, {name: never, script: "echo never"}]
`);
  const said = await op.run("run", "p4", "-a", "broken", "--wait");
  expect(said.exit).toBe(1);
  expect(said.out.endsWith(` ${said.err}`)).toBe(true);
  expect(said.err).toMatch(
    /^broken on p4: failed \(The task check failed with exit code 3; its log says more\); the target is home \(proved\) after .*\.\n$/,
  );
  expect(await op.run("session", "logs", "p4")).toEqual({ exit: 0, out: "disk sda: bad\n", err: "" });
  expect((await op.record("p4"))?.tasks.map(({ name }) => name)).toEqual(["check"]);
});

test("the built-in reboot-only and passive action work from the first start", { timeout: 120_000 }, async () => {
  expect(await op.run("run", "p4", "-a", "reboot-only", "--wait")).toMatchObject({ exit: 0, err: "" });
  const said = await op.run("run", "p4", "-a", "passive-check", "--image", "noise", "--wait", "--json");
  expect(said).toMatchObject({ exit: 0, err: "" });
  expect(JSON.parse(said.out)).toMatchObject({ findings: { memory: { memoryBytes: expect.any(Number) } } });
});

test("the same request sent twice with one Idempotency-Key is one session", { timeout: 120_000 }, async () => {
  const count = async () => JSON.parse((await op.run("get", "sessions", "--target", "p4", "-o", "json")).out).length;
  const before = await count();
  const send = (key: string, action = "greet") =>
    op.rest("/api/v1/sessions", {
      method: "POST",
      headers: { "content-type": "application/json", "idempotency-key": key },
      body: JSON.stringify({ target: "p4", action, requestedBy: "a program" }),
    });
  const first = await send("one-request");
  expect(first.status).toBe(201);
  const answer = (await first.json()) as { started: { session: string }[] };
  const again = await send("one-request");
  expect([again.status, await again.json()]).toEqual([201, answer]);
  // Another request is another wish, and the target is busy; the key with another body is a mistake.
  expect((await send("another-request")).status).toBe(409);
  expect((await send("one-request", "reboot-only")).status).toBe(409);
  expect(await op.untilEnded("p4")).toMatchObject({ session: answer.started[0]?.session, outcome: "succeeded" });
  expect(await (await send("one-request")).json()).toEqual(answer);
  expect(await count()).toBe(before + 1);
});

test("lists, shows, logs and deletes read well", { timeout: 120_000 }, async () => {
  const actions = (await op.run("get", "actions")).out.split("\n");
  expect(actions[0]).toMatch(/^NAME +MODE +IMAGE +TASKS +DESTRUCTIVE +DESCRIPTION$/);
  expect(actions.find((line) => line.startsWith("greet"))).toMatch(/^greet +active +noise +2 +false +Says hello/);
  expect(actions.find((line) => line.startsWith("reboot-only"))).toMatch(/^reboot-only +passive +- +0 +false /);
  expect((await op.run("get", "targets", "-l", "rack=r1")).out).toMatch(
    /^NAME .*\np1 +default +bios +pxe +rack=r1,role=worker\n$/,
  );

  const shown = await op.run("session", "show", "p1");
  expect(shown).toMatchObject({ exit: 0, err: "" });
  for (const line of [
    /^target +p1$/m,
    /^phase +restored$/m,
    /^outcome +succeeded$/m,
    /^home +proved \(strong\)$/m,
    /^restore +as it was$/m,
    /^findings +greet$/m,
    /^working +\d\d:\d\d:\d\d +\d/m,
    /^greet +succeeded +\d/m,
    /^GracefulShutdown +\d\d:\d\d:\d\d +boot noise$/m,
    /^On +\d\d:\d\d:\d\d +go home$/m,
  ]) {
    expect(shown.out).toMatch(line);
  }
  expect(await op.run("session", "logs", "p1")).toEqual({
    exit: 0,
    out: '==> greet (succeeded) <==\nhello ada\n{"greeted": "ada"}\n==> look (succeeded) <==\nthere\n',
    err: "",
  });
  expect(await op.run("session", "logs", "p1", "look")).toMatchObject({ out: "there\n" });

  expect(await op.run("delete", "image", "noise")).toMatchObject({
    exit: 2,
    err: expect.stringMatching(/^Image noise is used by action \S+.*; change or delete the actions? first\.\n$/),
  });
  expect(await op.run("delete", "action", "greet")).toEqual({ exit: 0, out: "action greet deleted\n", err: "" });
  expect(await op.run("delete", "target", "p1")).toEqual({ exit: 0, out: "target p1 deleted\n", err: "" });
  // What was done stays told.
  expect(await op.run("get", "sessions", "--target", "p1")).toMatchObject({ out: expect.stringMatching(/p1 +greet/) });
});

test("a session that is away while serve is stopped and started again comes home", { timeout: 180_000 }, async () => {
  await op.apply(`
kind: Action
name: slow
image: noise
mode: active
tasks: [{name: slow, script: "sleep 12; echo awake"}]
`);
  const before = await op.home("p4");
  expect(await op.run("run", "p4", "-a", "slow")).toMatchObject({ exit: 0 });
  const { session } = await op.untilPhase("p4", "working");
  await op.serve?.end("SIGTERM");
  expect(await op.serve?.ended).toBe(0);
  expect(await op.run("get", "targets")).toMatchObject({ exit: 4, out: "" });
  await op.startServe();
  expect(await op.untilEnded("p4")).toMatchObject({ session, outcome: "succeeded", ending: "restored" });
  expect(await op.home("p4")).toMatchObject({ bootCount: before.bootCount + 1 });
});
