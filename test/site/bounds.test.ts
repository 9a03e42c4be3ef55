import { join } from "node:path";
import { pino } from "pino";
import { describe, expect, it } from "vitest";
import { Outbox } from "../../src/agent/outbox.js";
import { TaskDispatcher } from "../../src/agent/task-dispatcher.js";
import { SCRIPT_RATE } from "../../src/boot/boot-script.js";
import type { TaskResult } from "../../src/domain/session.js";
import { freshEntry, type SiteEntry } from "../../src/site/entry.js";
import { Journal } from "../../src/site/journal.js";
import { RateLimit } from "../../src/site/rate-limit.js";
import { planOf, RecordedLink, sites, snapshotOf, taskOf } from "../boot/help.js";

/** What is kept in memory or in the journal, and no other test fills. */

const newSite = sites();
const plan = planOf();
const noSignal = () => new AbortController().signal;
const numbers = (count: number) => Array.from({ length: count }, (_, index) => index);

const entryOf = (): SiteEntry => ({ ...freshEntry(plan, plan.session), snapshot: snapshotOf(plan.session) });

const resultOf = (id: string): TaskResult => ({
  ...{ id, name: id, status: "succeeded" as const, exitCode: 0, durationMs: 1, reason: null },
  ...{ findingSha256: null, logSha256: null },
});

describe("what a site keeps for a session", () => {
  it("is 16 messages that the session has not heard, the newest", () => {
    const entry = entryOf();
    const entries = { get: () => entry, all: () => [entry], save: async () => {} };
    const outbox = new Outbox(entries, new RecordedLink(), pino({ level: "silent" }));
    for (const n of numbers(20)) outbox.add(entry, { kind: "rebooted", bootId: `boot-${n}`, how: "a test" });
    const bootIds = entry.ledger.outbox.map((message) => message.kind === "rebooted" && message.bootId);
    expect(bootIds).toEqual(numbers(16).map((n) => `boot-${n + 4}`));
  });

  it("is 128 offers; one more is refused, one of them again is not, and a result makes room", async () => {
    const dispatcher = new TaskDispatcher();
    const entry = entryOf();
    const offers = numbers(128).map((n) => dispatcher.offer(entry, taskOf(`t-${n}`), noSignal()));
    await expect(dispatcher.offer(entry, taskOf("one-more"), noSignal())).rejects.toMatchObject({
      code: "refused",
      message: "A session offers at most 128 tasks at once; wait for their results.",
    });
    const again = dispatcher.offer(entry, taskOf("t-0"), noSignal());
    dispatcher.resulted(entry, resultOf("t-0"));
    expect([await again, await offers[0]]).toEqual([resultOf("t-0"), resultOf("t-0")]);
    const next = dispatcher.offer(entry, taskOf("one-more"), noSignal());
    dispatcher.close();
    const ends = await Promise.allSettled([...offers.slice(1), next]);
    expect(new Set(ends.map(({ status }) => status))).toEqual(new Set(["rejected"]));
  });

  it("is 64 power actions and 16 void nonces, the newest of each, on disk too", async () => {
    const site = await newSite();
    const actions = numbers(70).map((n) => ({
      at: new Date(n * 1000).toISOString(),
      what: "On",
      why: `reason ${n}`,
      result: "done" as const,
    }));
    const nonces: string[] = [];
    for (const epoch of numbers(20)) {
      await site.publish(plan, epoch + 1);
      nonces.push(await site.nonce());
    }
    for (const action of actions) await site.site.note(plan.target.name, plan.session, action);
    await site.stop();
    const again = await Journal.open(join(site.folder, "site", "journal"), pino({ level: "silent" }));
    const ledger = again.get(plan.target.name)?.ledger;
    expect(ledger?.powerActions).toEqual(actions.slice(-64));
    // The last one is still good.
    expect(ledger?.voided).toEqual(nonces.slice(-17, -1));
  });

  it("is 512 results of tasks", async () => {
    const site = await newSite();
    const token = await site.token(plan);
    const entry = site.site.entry(plan.target.name);
    for (const n of numbers(511)) if (entry) entry.results[`t-${n}`] = resultOf(`t-${n}`);
    const hand = async (id: string) => {
      void site.site.offer(plan.target.name, plan.session, taskOf(id), noSignal()).catch(() => {});
      const json = { status: "succeeded", exitCode: 0, durationMs: 12, reason: null };
      return await site.agent("POST", `/agent/v1/tasks/${id}/result`, { token, json });
    };
    expect((await hand("last")).status).toBe(200);
    expect(await hand("one-more")).toMatchObject({ status: 422, text: expect.stringContaining("at most 512 results") });
    expect((await hand("last")).status).toBe(200);
  });
});

describe("what is remembered of those who ask", () => {
  it("is the rate of 4096, the last of them: 32 scripts at once, then one a second", () => {
    let nowMs = 0;
    const limit = new RateLimit(SCRIPT_RATE, () => nowMs);
    const takes = (address: string, times: number) => numbers(times).filter(() => limit.take(address)).length;
    expect(takes("192.0.2.1", 40)).toBe(32);
    nowMs += 3_000;
    expect(takes("192.0.2.1", 40)).toBe(3);
    for (const n of numbers(4_095)) limit.take(`other-${n}`);
    expect(takes("192.0.2.1", 1)).toBe(0);
    for (const n of numbers(4_096)) limit.take(`another-${n}`);
    expect(takes("192.0.2.1", 40)).toBe(32);
  });
});
