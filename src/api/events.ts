import { randomBytes } from "node:crypto";
import { z } from "zod";
import { KINDS } from "../domain/documents.js";
import { ENDINGS, OUTCOMES, PHASES } from "../domain/ids.js";

const Failure = z.object({ code: z.string(), message: z.string() }).nullable();
const about = { session: z.string(), target: z.string() };

/** The session has entered a phase. `phases` are all so far, so that a watcher who missed some has them. */
const SessionPhase = z.object({
  type: z.literal("session.phase"),
  ...about,
  phase: z.enum(PHASES),
  phases: z.array(z.object({ name: z.enum(PHASES), startedAt: z.string(), endedAt: z.string().nullable() })),
  outcome: z.enum(OUTCOMES).nullable(),
  failure: Failure,
  stranded: Failure,
});
/** Something happened within a phase, for example `kernel-fetched`, `hello`, or a task's progress. */
const SessionProgress = z.object({
  type: z.literal("session.progress"),
  ...about,
  what: z.string(),
  task: z.string().nullable(),
  message: z.string(),
  percent: z.number().min(0).max(100).nullable(),
});
/** The session is over; its record is complete. */
const SessionEnded = z.object({
  type: z.literal("session.ended"),
  ...about,
  outcome: z.enum(OUTCOMES).nullable(),
  ending: z.enum(ENDINGS).nullable(),
  untouched: z.boolean(),
});
const CatalogueChanged = z.object({
  type: z.literal("catalogue.changed"),
  kind: z.enum(KINDS),
  name: z.string(),
  change: z.enum(["created", "changed", "deleted"]),
});

const stamp = { id: z.string(), at: z.string() };
export const PitstopEvent = z.discriminatedUnion("type", [
  SessionPhase.extend(stamp),
  SessionProgress.extend(stamp),
  SessionEnded.extend(stamp),
  CatalogueChanged.extend(stamp),
]);
export type PitstopEvent = z.infer<typeof PitstopEvent>;

/** An event as it is published: the bus gives it id and time. */
export type NewEvent =
  | z.infer<typeof SessionPhase>
  | z.infer<typeof SessionProgress>
  | z.infer<typeof SessionEnded>
  | z.infer<typeof CatalogueChanged>;

export type Listener = (event: PitstopEvent) => void;

/** Enough for a watcher that was away for some seconds while a hundred sessions moved. */
const REPLAY = 4096;

/**
 * Publish and subscribe within this process, with a bounded memory for watchers that come back. Events are for people's
 * eyes: whoever missed some reads the record, and nothing that decides listens here.
 */
export class EventBus {
  /** Ids of an earlier process must not be taken for ours. */
  readonly #epoch = randomBytes(4).toString("hex");
  readonly #kept: PitstopEvent[] = [];
  readonly #listeners = new Set<Listener>();
  #count = 0;

  /** Never throws and never waits: a listener that fails is its own problem. */
  publish(event: NewEvent): PitstopEvent {
    this.#count += 1;
    const stamped: PitstopEvent = { ...event, id: `${this.#epoch}-${this.#count}`, at: new Date().toISOString() };
    this.#kept.push(stamped);
    if (this.#kept.length > REPLAY) this.#kept.shift();
    for (const listener of this.#listeners) {
      try {
        listener(stamped);
      } catch {
        this.#listeners.delete(listener);
      }
    }
    return stamped;
  }

  /** Returns how to stop. */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What came after the event `id`; null when it is not remembered any more, so that events may have been missed. */
  since(id: string): PitstopEvent[] | null {
    const [epoch, number] = id.split("-");
    const count = Number(number);
    const oldest = this.#count - this.#kept.length;
    if (epoch !== this.#epoch || !Number.isInteger(count) || count < oldest || count > this.#count) return null;
    return this.#kept.slice(count - oldest);
  }
}
