import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { MAC, planOf, sha256, sites, type TestSite, taskOf, UUID } from "../boot/help.js";
import { AgentProcess } from "../support/agent.js";
import type { TestGateway } from "../support/gateway.js";

const newSite = sites();
const agents: AgentProcess[] = [];
afterEach(() => {
  for (const agent of agents.splice(0)) agent.dispose();
});
const session = planOf().session;

/** Our own agent, started on what the boot server put into the session archive. */
async function boot(site: TestSite, env: NodeJS.ProcessEnv = {}): Promise<AgentProcess> {
  const archive = await site.get(`/b/${await site.nonce()}/session.cpio`);
  const folder = mkdtempSync(join(tmpdir(), "pitstop-archive-"));
  execFileSync("cpio", ["-id", "--quiet"], { cwd: folder, input: archive.bytes });
  const lines = readFileSync(join(folder, "etc/pitstop/session"), "utf8").trim().split("\n");
  const caPem = readFileSync(join(folder, "etc/pitstop/ca.pem"), "utf8");
  rmSync(folder, { recursive: true });
  const settings = Object.fromEntries(lines.map((line) => /^([A-Z_]+)='(.*)'$/.exec(line)?.slice(1, 3) ?? ["", ""]));
  const certificate = { pin: settings.PITSTOP_PIN, caPem };
  const gateway = {
    port: site.running.ports.tls,
    nonce: settings.PITSTOP_NONCE,
    mode: settings.PITSTOP_MODE,
    certificate,
  };
  const agent = new AgentProcess(gateway as unknown as TestGateway, {
    session: { ...settings, PITSTOP_TLS_URL: `https://127.0.0.1:${site.running.ports.tls}` },
    env: { PITSTOP_UUID: UUID, PITSTOP_MACS: MAC, ...env },
  });
  agents.push(agent);
  return agent.start();
}

describe("our own agent at this gateway", () => {
  it("says hello, runs what it is offered, sends log and finding, and turns the machine off", async () => {
    const site = await newSite();
    await site.publish();
    const agent = await boot(site);
    const script = "echo working\necho '50 half' >$PITSTOP_PROGRESS\nsleep 1\necho '{\"disks\": 2}'\n";
    const startedAt = performance.now();
    const result = await site.site.offer("r1-n07", session, taskOf("look-1", script), AbortSignal.timeout(20_000));
    expect(performance.now() - startedAt).toBeLessThan(18_000);
    expect(result).toMatchObject({ status: "succeeded", exitCode: 0 });
    expect(JSON.parse(Buffer.from(await site.objects.get(result.findingSha256 ?? "")).toString())).toEqual({
      disks: 2,
    });
    expect(Buffer.from(await site.objects.get(result.logSha256 ?? "")).toString()).toContain("working");
    expect(site.link.hellos).toHaveLength(1);
    expect(await site.site.finish("r1-n07", session, "off", 5_000)).toBe(true);
    expect(await agent.untilPowered()).toEqual(["off"]);
  });

  it("goes on over a restart of the site in the middle of a task, on the same port", async () => {
    const site = await newSite();
    await site.publish();
    await boot(site);
    const stop = new AbortController();
    const offer = site.site.offer("r1-n07", session, taskOf("look-1", "sleep 3\necho '{\"n\": 1}'\n"), stop.signal);
    offer.catch(() => {});
    await expect.poll(() => site.link.events.some((event) => event.what === "hello"), { timeout: 10_000 }).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const { http, tls } = site.running.ports;
    await site.stop();
    site.options.config = {
      PITSTOP_SITE_LISTEN: { host: "127.0.0.1", port: http },
      PITSTOP_SITE_TLS_LISTEN: { host: "127.0.0.1", port: tls },
    };
    await site.start();
    const again = await site.site.offer("r1-n07", session, taskOf("look-1"), AbortSignal.timeout(25_000));
    expect(again).toMatchObject({ status: "succeeded", exitCode: 0 });
    expect(again.durationMs).toBeGreaterThan(2_500);
  }, 40_000);

  it("stops a task that was cancelled", async () => {
    const site = await newSite();
    await site.publish();
    await boot(site);
    const stop = new AbortController();
    const offer = site.site.offer("r1-n07", session, taskOf("look-1", "sleep 60\n"), stop.signal);
    await expect.poll(() => site.link.events.some((event) => event.what === "hello"), { timeout: 10_000 }).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    const startedAt = performance.now();
    stop.abort();
    expect(await offer).toMatchObject({ status: "cancelled" });
    expect(performance.now() - startedAt).toBeLessThan(30_000);
  });

  it("in passive mode does all tasks by itself and says that it is done", async () => {
    const site = await newSite();
    const script = 'echo "{\\"depth\\": \\"$PARAM_DEPTH\\"}"\n';
    await site.objects.put(Buffer.from(script));
    const tasks = ["a-1", "b-1"].map((id) => ({ id, name: id.slice(0, 1), scriptSha256: sha256(script) }));
    await site.publish(planOf({ mode: "passive", tasks, params: { depth: "full" } }));
    await boot(site);
    await expect.poll(() => site.link.dones.length, { timeout: 15_000 }).toBe(1);
    const [done] = site.link.dones;
    expect(done?.request.outcome).toBe("succeeded");
    expect(done?.results.map((result) => [result.name, result.status])).toEqual([
      ["a", "succeeded"],
      ["b", "succeeded"],
    ]);
    const finding = await site.objects.get(done?.results[1]?.findingSha256 ?? "");
    expect(Buffer.from(finding).toString()).toBe('{"depth":"full"}');
  });

  it("goes home when its target is withdrawn", async () => {
    const site = await newSite();
    await site.publish();
    const agent = await boot(site);
    await expect.poll(() => site.link.hellos.length, { timeout: 10_000 }).toBe(1);
    await site.site.withdraw("r1-n07", session);
    expect(await agent.untilPowered()).toEqual(["reboot"]);
  });
});
