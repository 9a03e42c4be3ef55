import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AgentProcess } from "../support/agent.js";
import { TestGateway } from "../support/gateway.js";

let gateway: TestGateway;
let agent: AgentProcess;

beforeEach(async () => {
  gateway = await TestGateway.start();
});
afterEach(async () => {
  agent?.dispose();
  await gateway.stop();
});

type Options = ConstructorParameters<typeof AgentProcess>[1];
const startAgent = (options: Options = {}): AgentProcess => {
  agent = new AgentProcess(gateway, options).start();
  return agent;
};

describe.each([
  ["dash", ["dash"]],
  ["busybox", ["busybox", "sh"]],
])("the agent under %s", (_name, shell) => {
  it("says hello, runs a task, sends log and finding, and powers off", async () => {
    gateway.offer({
      id: "t-1",
      script: 'echo "it\'s \\"quoted\\" \\\\ and é"; echo warning >&2; printf \'{"answer": %s}\\n\' "$PARAM_NUMBER"',
      env: { PARAM_NUMBER: "42", PARAM_QUOTE: "'; exit 1 #", "not allowed": "x" },
    });
    startAgent({ shell });
    const result = await gateway.result("t-1");
    expect(result).toMatchObject({ status: "succeeded", exitCode: 0, finding: { answer: 42 }, reason: null });
    expect(gateway.logs.get("t-1")?.toString()).toBe('it\'s "quoted" \\ and é\nwarning\n{"answer": 42}\n');
    expect(gateway.hellos[0]).toMatchObject({
      uuid: "4c4c4544-0042-4810-8051-b4c04f4e4d31",
      macs: ["52:54:00:12:34:01"],
      firmware: "uefi",
    });
    gateway.finish("off");
    expect(await agent.exit()).toBe(0);
    expect(agent.powered()).toEqual(["off"]);
  });

  it("costs one request for each of hello, task, and log with result", async () => {
    gateway.offer({ id: "t-1", script: "echo fine" });
    startAgent({ shell });
    await gateway.result("t-1");
    gateway.finish("reboot");
    await agent.exit();
    expect(gateway.requests).toEqual(["POST hello", "GET next", "PUT tasks/t-1/log", "POST tasks/t-1/result"]);
  });

  it("stops a script that is cancelled, with all that it started", async () => {
    startAgent({ shell });
    const mark = join(agent.folder, "mark");
    gateway.offer({
      id: "t-1",
      script: `trap '' TERM; (sleep 60; touch ${mark}) & echo begun; while :; do sleep 1; done`,
    });
    await gateway.until(() => gateway.logs.has("t-1"), "the log of a running task");
    gateway.cancel("t-1");
    expect(await gateway.result("t-1", 20_000)).toMatchObject({ status: "cancelled", exitCode: null });
  }, 40_000);

  it("ends a script whose time is over", async () => {
    gateway.offer({ id: "t-1", script: "echo begun; sleep 60", timeoutSeconds: 3 });
    startAgent({ shell });
    const result = await gateway.result("t-1");
    expect(result).toMatchObject({ status: "timedOut", exitCode: null });
    expect(result.durationMs).toBeGreaterThan(2000);
    expect(result.durationMs).toBeLessThan(30_000);
  });
});

describe("tasks", () => {
  it("a failing script's exit code is reported", async () => {
    gateway.offer({ id: "t-1", script: "echo no >&2; exit 7" });
    startAgent();
    expect(await gateway.result("t-1")).toMatchObject({ status: "failed", exitCode: 7 });
  });

  it("a finding file wins over the output, and one that is not JSON fails the task", async () => {
    gateway.offer({ id: "t-1", script: 'echo "[1]"; echo "{\\"from\\":\\"file\\"}" >"$PITSTOP_FINDING"; echo "[2]"' });
    startAgent();
    expect((await gateway.result("t-1")).finding).toEqual({ from: "file" });
    gateway.offer({ id: "t-2", script: 'echo "{broken" >"$PITSTOP_FINDING"' });
    expect(await gateway.result("t-2")).toMatchObject({ status: "failed", exitCode: 0 });
  });

  it("a last line that only looks like JSON is no finding", async () => {
    gateway.offer({ id: "t-1", script: 'echo "{not json}"' });
    startAgent();
    const result = await gateway.result("t-1");
    expect(result.status).toBe("succeeded");
    expect(result.finding).toBeUndefined();
  });

  it("a task that was done already is answered from the spool and not run again", async () => {
    startAgent();
    const mark = join(agent.folder, "runs");
    const task = { id: "t-1", script: `echo run >>${mark}; wc -l <${mark}` };
    gateway.offer(task);
    const first = await gateway.result("t-1");
    gateway.results.clear();
    gateway.offer(task);
    expect(await gateway.result("t-1")).toEqual(first);
    expect(gateway.logs.get("t-1")?.toString().trim()).toBe("1");
  });

  it("progress is sent while the script runs", async () => {
    gateway.offer({ id: "t-1", script: 'echo "42.5 half \\"way\\"" >>"$PITSTOP_PROGRESS"; sleep 4' });
    startAgent();
    await gateway.result("t-1");
    expect(gateway.progress).toEqual([{ task: "t-1", message: 'half "way"', percent: 42.5 }]);
  });

  it("a cancellation told in the answer to progress is heeded", async () => {
    gateway.cancelByProgress = true;
    gateway.offer({ id: "t-1", script: "echo begun; sleep 60" });
    startAgent();
    expect(await gateway.result("t-1")).toMatchObject({ status: "cancelled" });
  });

  it("a cancelled task that the agent does not have is answered", async () => {
    gateway.cancel("t-9");
    startAgent();
    expect(await gateway.result("t-9")).toMatchObject({ status: "cancelled", exitCode: null });
  });

  it("a log of several pieces arrives whole", async () => {
    gateway.offer({ id: "t-1", script: "seq 1 400000" });
    startAgent();
    await gateway.result("t-1");
    const log = gateway.logs.get("t-1")?.toString() ?? "";
    expect(log.length).toBe(2_688_895);
    expect(log.endsWith("399999\n400000\n")).toBe(true);
  });

  it("a device that cannot be unlocked keeps the script from starting", async () => {
    startAgent();
    const mark = join(agent.folder, "mark");
    gateway.offer({ id: "t-1", script: `touch ${mark}`, unlock: ["/dev/sda"] });
    expect(await gateway.result("t-1")).toMatchObject({ status: "failed", exitCode: null });
    expect(existsSync(mark)).toBe(false);
  });

  it("unlocked devices are locked again when the script has ended", async () => {
    agent = new AgentProcess(gateway);
    const calls = join(agent.folder, "calls");
    writeFileSync(join(agent.folder, "unlock"), `#!/bin/sh\necho "$@" >>${calls}\n`, { mode: 0o755 });
    gateway.offer({ id: "t-1", script: `echo script >>${calls}; cat ${calls}`, unlock: ["/dev/sda", "/dev/sdb"] });
    agent.start();
    await gateway.result("t-1");
    gateway.offer({ id: "t-2", script: `cat ${calls}` });
    await gateway.result("t-2");
    expect(gateway.logs.get("t-2")?.toString()).toBe("unlock /dev/sda /dev/sdb\nscript\nlock /dev/sda /dev/sdb\n");
  });
});

describe("passive mode", () => {
  const task = (id: string, script: string) => ({ id, name: id, script, env: {}, timeoutSeconds: 30, unlock: [] });

  it("runs the tasks of the hello in order, then says done and goes home", async () => {
    gateway.mode = "passive";
    gateway.tasks = [task("a", "echo '{\"a\":1}'"), task("b", "echo '{\"b\":2}'")];
    startAgent();
    await gateway.until(() => gateway.done !== null, "done");
    expect([...gateway.results.keys()]).toEqual(["a", "b"]);
    expect(gateway.done).toMatchObject({ outcome: "succeeded", reason: null });
    gateway.finish("reboot");
    await agent.exit();
    expect(agent.powered()).toEqual(["reboot"]);
  });

  it("a task that fails ends the work", async () => {
    gateway.mode = "passive";
    gateway.tasks = [task("a", "exit 3"), task("b", "true")];
    startAgent();
    await gateway.until(() => gateway.done !== null, "done");
    expect([...gateway.results.keys()]).toEqual(["a"]);
    expect(gateway.done).toMatchObject({ outcome: "failed", reason: "task 1 of 2 did not succeed" });
  });
});
