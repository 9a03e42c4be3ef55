import { setTimeout as sleep } from "node:timers/promises";
import proto from "@temporalio/proto";
import { messageOf } from "../../../src/domain/errors.js";
import { sessionWorkflowId } from "../../../src/domain/ids.js";
import type { SessionRecord } from "../../../src/domain/record.js";
import { within } from "../real/bounds.js";
import { World } from "../real/world.js";
import { figuresOf, type Sample } from "./slopes.js";

/** Of one history. A session alone has some 88. */
const MAX_EVENTS = 100;
/** For one session, on a busy host. */
const SESSION_MS = 10 * 60_000;

/** How often the server is made to collect, so that what grows is what it keeps. */
const COLLECT_MS = 10_000;

const DOCUMENTS = `kind: Action
name: soak
image: noise
mode: active
tasks: [{name: look, script: "echo '{}'"}]
`;

/** Sessions one after the other on each of some targets, which go on beside each other. */
export class Soak {
  readonly samples: Sample[] = [];
  /** What is not as it should be, in sentences. */
  readonly broken: string[] = [];
  done = 0;
  /** Events of the longest history. */
  longest = 0;
  seconds = 0;
  #started = 0;
  readonly #world: World;
  readonly #wanted: number;
  readonly #maxEvents: number;

  private constructor(world: World, wanted: number, maxEvents: number) {
    this.#world = world;
    this.#wanted = wanted;
    this.#maxEvents = maxEvents;
  }

  /** `tell` hears of it now and then, so that a run which is cut short tells something too. */
  static async run(options: {
    sessions: number;
    atOnce: number;
    sampleMs: number;
    maxEvents?: number;
    tell?: { everyMs: number; what: (soak: Soak) => void };
  }): Promise<Soak> {
    const names = Array.from({ length: options.atOnce }, (_, i) => `soak-${i + 1}`);
    const world = await World.start(
      { machines: names.map((name) => ({ name })) },
      { documents: DOCUMENTS, env: { PITSTOP_ATTACK_COLLECT_MS: String(COLLECT_MS) } },
    );
    const soak = new Soak(world, options.sessions, options.maxEvents ?? MAX_EVENTS);
    const began = Date.now();
    const sampler = setInterval(() => soak.#sample(), options.sampleMs);
    const teller = options.tell && setInterval(options.tell.what, options.tell.everyMs, soak);
    try {
      await Promise.all(names.map((name) => soak.#oneAfterTheOther(name)));
    } finally {
      clearInterval(sampler);
      clearInterval(teller);
      soak.seconds = Math.round((Date.now() - began) / 1000);
      soak.broken.push(...world.trouble);
      await world.close();
    }
    return soak;
  }

  #sample(): void {
    const { serve, temporal, lab } = this.#world.pids;
    try {
      this.samples.push({
        sessions: this.done,
        ...figuresOf("serve", serve),
        ...figuresOf("temporal", temporal),
        ...figuresOf("lab", lab),
      });
    } catch {
      // A process that ended is in the world's trouble.
    }
  }

  /** A target whose session did not come home is of no more use: the others go on. */
  async #oneAfterTheOther(target: string): Promise<void> {
    try {
      while (this.#started < this.#wanted) {
        this.#started += 1;
        await within(SESSION_MS, "a session has not ended", () => this.#one(target));
        this.done += 1;
      }
    } catch (error) {
      this.broken.push(`${target}: ${messageOf(error)}`);
    }
  }

  async #one(target: string): Promise<void> {
    const session = await this.#start(target);
    const record = await this.#ended(session);
    if (record.ending !== "restored" || record.outcome !== "succeeded") {
      this.broken.push(`${session}: ${record.ending}, ${record.outcome}: ${record.failure?.message}`);
    }
    const { historyLength } = await this.#world.temporal.workflow
      .getHandle(sessionWorkflowId(target), session)
      .describe();
    this.longest = Math.max(this.longest, historyLength);
    if (historyLength >= this.#maxEvents)
      this.broken.push(`${session} has ${historyLength} events: ${await this.#eventsOf(session, target)}`);
  }

  /** How often each type of event is in the session's history. */
  async #eventsOf(session: string, target: string): Promise<string> {
    const { events } = await this.#world.temporal.workflow.getHandle(sessionWorkflowId(target), session).fetchHistory();
    const counts = new Map<string, number>();
    for (const { eventType } of events ?? []) {
      const type =
        proto.temporal.api.enums.v1.EventType[eventType ?? 0]?.replace("EVENT_TYPE_", "").toLowerCase() ?? "?";
      counts.set(type, (counts.get(type) ?? 0) + 1);
    }
    return [...counts].map(([type, count]) => `${count} ${type}`).join(", ");
  }

  /** The record has its end a moment before the session gives the target free. */
  async #start(target: string): Promise<string> {
    for (;;) {
      const { started: taken, refused } = await this.#world.client.start({
        target,
        action: "soak",
        requestedBy: "the soak",
      });
      if (taken[0]) return taken[0].session;
      if (refused[0]?.problem.code !== "busy") throw new Error(refused[0]?.problem.detail);
      await sleep(200);
    }
  }

  async #ended(session: string): Promise<SessionRecord> {
    for (;;) {
      await sleep(500);
      const record = await this.#world.client.session(session).catch(() => null);
      if (record?.ending === "stranded") throw new Error(`${session} is stranded: ${record.stranded?.message}`);
      if (record?.endedAt) return record;
    }
  }
}
