import pino from "pino";
import { describe, expect, it, vi } from "vitest";
import { Leases } from "../../src/agent/lease.js";
import type { SiteEntry } from "../../src/site/entry.js";
import { endOf, OTHER_BOOT_ID, planOf, sites, taskOf } from "../boot/help.js";

const newSite = sites();
const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const lease = async (site: Awaited<ReturnType<typeof newSite>>, token: string) =>
  Number((await site.agent("GET", "/agent/v1/next?wait=0", { token })).json.leaseSeconds);

describe.concurrent("the lease", () => {
  it("is extended while the session is confirmed alive", async () => {
    const site = await newSite();
    const token = await site.token(planOf({ leaseMs: 3_000 }));
    await later(2_500);
    expect(await lease(site, token)).toBeGreaterThanOrEqual(1);
    await later(1_500);
    expect(await lease(site, token)).toBeGreaterThanOrEqual(1);
    expect(site.link.looks).toBeGreaterThanOrEqual(3);
  });

  it.each([false, "unknown"] as const)("runs out, in spite of every contact, while the answer is %s", async (alive) => {
    const site = await newSite();
    const token = await site.token(planOf({ leaseMs: 2_500 }));
    site.link.alive = alive;
    const seen: number[] = [];
    for (let i = 0; i < 12; i++) {
      seen.push(await lease(site, token));
      await later(250);
    }
    expect(seen[0]).toBeGreaterThanOrEqual(1);
    expect(seen).toEqual([...seen].sort((a, b) => b - a));
    expect(seen.at(-1)).toBe(0);
    expect(site.link.looks).toBeGreaterThanOrEqual(2);
  });

  it("never goes beyond the absolute deadline", async () => {
    const site = await newSite();
    const token = await site.token(planOf({ leftMs: 20_000 }));
    expect(await lease(site, token)).toBeLessThanOrEqual(20);
    site.nowMs = Date.now() + 20_000;
    expect((await site.agent("GET", "/agent/v1/next?wait=0", { token })).status).toBe(410);
  });

  it("is no longer by a clock that is set back, and over a restart with that clock once more at most", async () => {
    let wrongMs = 0;
    const now = () => Date.now() + wrongMs;
    const ledger = { leaseUntil: null };
    const absoluteDeadline = new Date(Date.now() + 3_600_000).toISOString();
    const entry = { target: "t", plan: planOf({ leaseMs: 2_000 }), absoluteDeadline, ledger } as unknown as SiteEntry;
    const start = () => new Leases({} as never, {} as never, now, pino({ level: "silent" }), async () => undefined);
    const leases = start();
    leases.grant(entry);
    wrongMs = -3 * 3_600_000;
    expect(leases.secondsLeft(entry)).toBeLessThanOrEqual(2);
    await later(2_100);
    expect(leases.secondsLeft(entry)).toBe(0);
    const restarted = start();
    expect(restarted.secondsLeft(entry)).toBeLessThanOrEqual(2);
    await later(2_100);
    expect(restarted.secondsLeft(entry)).toBe(0);
  });

  it("goes on over a restart of the site with what was left of it, until the session is confirmed", async () => {
    const site = await newSite();
    const token = await site.token(planOf({ leaseMs: 30_000 }));
    await site.stop();
    site.link.alive = "unknown";
    site.nowMs = Date.now() + 10_000;
    await site.start();
    const left = await lease(site, token);
    expect(left).toBeGreaterThanOrEqual(17);
    expect(left).toBeLessThanOrEqual(20);
    await site.stop();
    site.link.alive = true;
    await site.start();
    await later(300);
    expect(await lease(site, token)).toBeGreaterThanOrEqual(29);
  });
});

describe.concurrent("an agent that is silent", () => {
  it("for the whole of its lease has gone home, or hangs: the session hears of it; one that comes now and then has not", async () => {
    const plan = planOf({ leaseMs: 600 });
    const boot = { bootId: "b", revoked: false };
    const ledger = { leaseUntil: null };
    const entry = {
      target: "t",
      plan,
      boot,
      absoluteDeadline: new Date(endOf(plan)).toISOString(),
      ledger,
    } as unknown as SiteEntry;
    const sessions = { get: () => entry, all: () => [entry], save: async () => undefined } as never;
    const link = { isAlive: async () => true, progress: () => undefined } as never;
    const told: string[] = [];
    const gone = async (_: SiteEntry, how: string) => void told.push(how);
    const leases = new Leases(sessions, link, Date.now, pino({ level: "silent" }), gone, 300);
    leases.grant(entry);
    leases.watch(entry);
    for (let heard = 0; heard < 12; heard++) {
      leases.heard(entry);
      await later(100);
    }
    expect(told).toEqual([]);
    await vi.waitFor(() => expect(told.length).toBeGreaterThan(0), { timeout: 10_000 });
    leases.close();
    expect(told[0]).toMatch(/^its agent was not heard for \d+ s, the whole of its lease$/);
  });
});

describe.concurrent("a lease that ran out", () => {
  it("is not given again: its image has gone home, and the session hears of it", async () => {
    const site = await newSite();
    const token = await site.token(planOf({ leaseMs: 1_500 }));
    site.link.alive = "unknown";
    await later(1_600);
    site.link.alive = true;
    await vi.waitFor(
      () => expect(site.link.reboots).toMatchObject([{ how: "its lease ran out before the session could be asked" }]),
      { timeout: 10_000 },
    );
    expect((await site.agent("GET", "/agent/v1/next?wait=0", { token })).status).toBe(410);
  });
});

describe.concurrent("a message to the session", () => {
  it("that its target rebooted comes before the end of what waits for the agent", async () => {
    const site = await newSite();
    await site.token();
    const { session = "", boot } = site.site.entry("r1-n07") ?? {};
    const order: string[] = [];
    site.link.rebooted = async () => {
      await later(300);
      order.push("told");
    };
    const offer = site.site
      .offer("r1-n07", session, taskOf("look-1"), new AbortController().signal)
      .catch(() => void order.push("ended"));
    await later(100);
    await site.hello(boot?.spentNonce ?? "", { bootId: OTHER_BOOT_ID });
    await offer;
    expect(order).toEqual(["told", "ended"]);
  });

  it("is repeated until it was told, and does not hold up the agent for long", async () => {
    const site = await newSite();
    site.link.fail = "unreachable";
    await site.publish();
    const startedAt = performance.now();
    const answer = await site.hello(await site.nonce());
    expect(answer.status).toBe(200);
    expect(performance.now() - startedAt).toBeLessThan(15_000);
    expect(site.link.hellos).toEqual([]);
    site.link.fail = "never";
    await vi.waitFor(() => expect(site.link.hellos.length).toBe(1), { timeout: 10_000 });
    expect(site.site.entry("r1-n07")?.ledger.outbox).toEqual([]);
  });

  it("that was not told before a restart is told after it, in order", async () => {
    const site = await newSite();
    site.link.fail = "unreachable";
    const token = await site.token();
    await site.agent("POST", "/agent/v1/done", { token, json: { outcome: "failed", reason: "gave up" } });
    await site.stop();
    site.link.fail = "never";
    await site.start();
    await vi.waitFor(() => expect(site.link.dones.length).toBe(1), { timeout: 10_000 });
    expect(site.link.hellos).toHaveLength(1);
    expect(site.link.dones[0]?.request).toMatchObject({ outcome: "failed", reason: "gave up" });
  });

  it("is dropped when the target is armed anew or withdrawn: its boot is over", async () => {
    const site = await newSite();
    site.link.fail = "unreachable";
    const plan = planOf();
    await site.token(plan);
    await site.site.withdraw("r1-n07", plan.session);
    site.link.fail = "never";
    await later(1_500);
    expect(site.link.hellos).toEqual([]);
  });
});

describe.concurrent("an offer", () => {
  it("to a boot that rebooted ends at once", async () => {
    const site = await newSite();
    const plan = planOf();
    await site.publish(plan);
    const nonce = await site.nonce();
    await site.hello(nonce);
    const offer = site.site.offer("r1-n07", plan.session, taskOf("t-1"), new AbortController().signal);
    offer.catch(() => {});
    await later(20);
    await site.hello(nonce, { bootId: "22222222-3a55-4a3e-9a64-0d3c52a4f7f1" });
    await expect(offer).rejects.toMatchObject({ code: "conflict" });
    await expect(
      site.site.offer("r1-n07", plan.session, taskOf("t-2"), new AbortController().signal),
    ).rejects.toMatchObject({ code: "conflict" });
  });
});
