import { afterAll, beforeAll, expect, onTestFailed, test } from "vitest";
import { Operator } from "../support/operator.js";

/** The third Reset of a session is the one that brings home: the image itself has powered off before it. */
const refusedOnTheWayHome = (times: number) => ({
  fault: "status" as const,
  status: 401,
  match: { method: "POST" as const, path: "ComputerSystem.Reset" },
  after: 2,
  times,
});

let op: Operator;
beforeAll(async () => {
  op = await Operator.start({
    machines: [
      // A refused request is sent once more with a fresh login, and both again after a minute; then a person is called.
      { name: "mended", bmcFaults: [refusedOnTheWayHome(4)] },
      { name: "given-up", bmcFaults: [refusedOnTheWayHome(1000)] },
    ],
  });
  await op.addImage("noise");
  await op.apply(`
kind: Action
name: look
image: noise
mode: active
tasks: [{name: look, script: "echo '{}'"}]
`);
}, 240_000);
afterAll(() => op?.close(), 60_000);

test("a refused password strands the target; put right and retried, it is home", { timeout: 360_000 }, async () => {
  onTestFailed(() => console.log(op.story, op.seen("mended")));
  const before = await op.home("mended");
  expect(await op.run("run", "mended", "-a", "look", "--wait")).toMatchObject({ exit: 3 });
  expect((await op.run("get", "sessions", "--target", "mended")).out).toContain("stranded");
  const shown = await op.run("session", "show", "mended");
  expect(shown.out).toMatch(/stranded/i);
  expect((await op.record("mended"))?.stranded).toMatchObject({ code: "unauthorized" });
  // Its lock is kept: nobody else takes it away meanwhile.
  expect(await op.run("run", "mended", "-a", "look")).not.toMatchObject({ exit: 0 });

  expect(await op.run("session", "retry", "mended")).toMatchObject({ exit: 0, err: "" });
  expect(await op.untilEnded("mended")).toMatchObject({ ending: "restored", home: { proved: true } });
  expect(await op.home("mended")).toMatchObject({ machineId: before.machineId, bootCount: before.bootCount + 1 });
});

test("a target that will not come home is released by a person with a reason, and is free again", {
  timeout: 360_000,
}, async () => {
  onTestFailed(() => console.log(op.story, op.seen("given-up")));
  expect(await op.run("run", "given-up", "-a", "look", "--wait")).toMatchObject({ exit: 3 });
  const retried = await op.run("session", "retry", "given-up");
  expect(retried).toMatchObject({ exit: 0 });
  await op.untilPhase("given-up", "stranded", 150_000);
  expect(await op.run("session", "release", "given-up")).toMatchObject({ exit: 2 });
  const said = await op.run("session", "release", "given-up", "--reason", "its board is being replaced");
  expect(said).toMatchObject({ exit: 0, out: "given-up: released; nobody has proved that it is home.\n" });
  const record = await op.untilEnded("given-up");
  expect(record).toMatchObject({ ending: "released", released: { reason: "its board is being replaced" } });
  expect(op.bmc("given-up").override.enabled).toBe("Disabled");
});
