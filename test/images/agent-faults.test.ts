import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AgentProcess } from "../support/agent.js";
import { TestGateway } from "../support/gateway.js";
import { makeCertificate } from "../support/tls.js";

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
const sleepMs = (ms: number) => new Promise((done) => setTimeout(done, ms));

describe("trust", () => {
  it("a server with another key than the pinned one hears nothing, and the machine goes home", async () => {
    const other = await makeCertificate();
    startAgent({ session: { PITSTOP_PIN: other.pin, PITSTOP_LEASE_SECONDS: 3 } });
    expect(await agent.untilPowered()).toEqual(["reboot"]);
    expect(gateway.requests).toEqual([]);
  });

  it("the session's CA is enough without a pin, and another CA is not", async () => {
    startAgent({ session: { PITSTOP_PIN: "" } });
    await gateway.until(() => gateway.hellos.length > 0, "hello");
    agent.dispose();
    const stranger = await TestGateway.start();
    const port = String(stranger.port);
    startAgent({
      session: { PITSTOP_PIN: "", PITSTOP_TLS_URL: `https://127.0.0.1:${port}`, PITSTOP_LEASE_SECONDS: 3 },
    });
    await agent.untilPowered();
    expect(stranger.requests).toEqual([]);
    await stranger.stop();
  });

  it.each([
    ["1970", 20_000],
    ["2099", -27_000],
  ])("a target whose clock says %s connects by the pin", async (_year, shiftDays) => {
    await gateway.stop();
    gateway = await TestGateway.start(await makeCertificate(shiftDays));
    startAgent();
    await gateway.until(() => gateway.hellos.length > 0, "hello");
    agent.dispose();
    gateway.requests.length = 0;
    startAgent({ session: { PITSTOP_PIN: "", PITSTOP_LEASE_SECONDS: 3 } });
    await agent.untilPowered();
    expect(gateway.requests).toEqual([]);
  });

  it("neither nonce nor token is in an argument, in the script's environment, or in what is said", async () => {
    gateway.offer({ id: "t-1", script: "env; cat /proc/*/cmdline 2>/dev/null | tr '\\0' ' '" });
    startAgent();
    await gateway.result("t-1");
    for (const text of [gateway.logs.get("t-1")?.toString() ?? "", agent.output]) {
      expect(text).not.toContain(gateway.token);
      expect(text).not.toContain(gateway.nonce);
    }
  });
});

describe("the dead-man", () => {
  it("a lease that nobody extends sends the machine home", async () => {
    gateway.leaseSeconds = 2;
    await gateway.stop();
    startAgent({ session: { PITSTOP_LEASE_SECONDS: 2 } });
    expect(await agent.untilPowered()).toEqual(["reboot"]);
    expect(await agent.exit(40_000)).not.toBe(0);
  });

  it("a target that had been off is powered off", async () => {
    await gateway.stop();
    startAgent({ session: { PITSTOP_LEASE_SECONDS: 2, PITSTOP_WAS_OFF: 1 } });
    expect(await agent.untilPowered()).toEqual(["off"]);
  });

  it("contact extends it, and a shorter lease takes the place of a longer one", async () => {
    gateway.leaseSeconds = 60;
    startAgent({ session: { PITSTOP_LEASE_SECONDS: 4 } });
    await gateway.until(() => gateway.hellos.length > 0, "hello");
    await sleepMs(5000);
    expect(agent.powered()).toEqual([]);
    gateway.leaseSeconds = 1;
    gateway.cancel("t-0");
    await gateway.result("t-0");
    await gateway.stop();
    expect(await agent.untilPowered(6000)).toEqual(["reboot"]);
  });

  it("no lease goes beyond the absolute end", async () => {
    gateway.leaseSeconds = 3600;
    startAgent({ session: { PITSTOP_DEADLINE_SECONDS: 3 } });
    expect(await agent.untilPowered()).toEqual(["reboot"]);
    expect(agent.output).toContain("absolute end");
  });

  it("holds when the agent was killed, and ends the script that ran", async () => {
    gateway.leaseSeconds = 4;
    startAgent();
    const alive = join(agent.folder, "alive");
    gateway.offer({ id: "t-1", script: `echo begun; while :; do date +%s%N >${alive}; sleep 0.1; done` });
    await gateway.until(() => gateway.logs.has("t-1"), "the log of a running task");
    agent.killAgentOnly();
    expect(await agent.untilPowered()).toEqual(["reboot"]);
    await sleepMs(300);
    const last = readFileSync(alive, "utf8");
    await sleepMs(500);
    expect(readFileSync(alive, "utf8")).toBe(last);
  });

  it("a session file that cannot be used sends the machine home", async () => {
    startAgent({ session: { PITSTOP_NONCE: "a'; touch /tmp/x; '" } });
    expect(await agent.untilPowered()).toEqual(["reboot"]);
    expect(gateway.requests).toEqual([]);
  });

  it.each([403, 410])("the answer %i sends it home at once", async (status) => {
    gateway.faults.push(status);
    startAgent();
    expect(await agent.untilPowered(5000)).toEqual(["reboot"]);
    expect(await agent.exit()).toBe(0);
  });
});

describe("faults on the way", () => {
  it("an unknown nonce, an overloaded server and one that errs are asked again", async () => {
    gateway.faults.push(401, 429, 500);
    startAgent();
    await gateway.until(() => gateway.hellos.length > 0, "hello");
    expect(gateway.requests.filter((line) => line === "POST hello")).toHaveLength(4);
  });

  it("a gateway that dies while a task runs gets log and result when it is back", async () => {
    gateway.offer({ id: "t-1", script: "for n in 1 2 3 4 5 6; do echo line $n; sleep 1; done; echo '{\"ok\":true}'" });
    startAgent();
    await gateway.until(() => gateway.logs.has("t-1"), "the log of a running task");
    await gateway.stop();
    await sleepMs(5500);
    await gateway.listen();
    expect(await gateway.result("t-1")).toMatchObject({ status: "succeeded", finding: { ok: true } });
    expect(gateway.logs.get("t-1")?.toString()).toBe('line 1\nline 2\nline 3\nline 4\nline 5\nline 6\n{"ok":true}\n');
  });

  it("a gateway that lost its part of the log gets it again from where it stands", async () => {
    gateway.offer({ id: "t-1", script: "echo one; sleep 3; echo two; sleep 3; echo three" });
    startAgent();
    await gateway.until(() => gateway.logs.has("t-1"), "the log of a running task");
    gateway.logs.set("t-1", Buffer.alloc(0));
    await gateway.result("t-1");
    expect(gateway.logs.get("t-1")?.toString()).toBe("one\ntwo\nthree\n");
  });

  it("a result whose answer is lost is sent again", async () => {
    gateway.offer({ id: "t-1", script: "true" });
    startAgent();
    await gateway.until(() => gateway.requests.includes("GET next"), "a poll");
    gateway.faults.push(503, 502);
    expect(await gateway.result("t-1")).toMatchObject({ status: "succeeded" });
  });

  it("an agent that is started again says the same hello, and reports the task that it did not see end", async () => {
    startAgent();
    const runs = join(agent.folder, "runs");
    gateway.offer({ id: "t-1", script: `echo run >>${runs}; echo begun; sleep 60` });
    await gateway.until(() => gateway.logs.has("t-1"), "the log of a running task");
    agent.killAgentOnly();
    agent.start();
    const result = await gateway.result("t-1");
    expect(result).toMatchObject({ status: "failed", reason: "the agent was started again while the task ran" });
    expect(readFileSync(runs, "utf8")).toBe("run\n");
    expect(gateway.hellos).toHaveLength(2);
    expect(existsSync(join(agent.spool, "tasks/t-1/result"))).toBe(true);
  });

  it("the order to stay keeps the agent asking at a calm pace", async () => {
    gateway.finish("stay");
    startAgent();
    await gateway.until(() => gateway.requests.includes("GET next"), "a poll");
    await sleepMs(3000);
    expect(gateway.requests.filter((line) => line === "GET next").length).toBeLessThan(3);
    expect(agent.powered()).toEqual([]);
  });
});
