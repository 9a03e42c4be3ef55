import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, Connection } from "@temporalio/client";
import { messageOf } from "../../src/domain/errors.js";
import type { SessionRecord } from "../../src/domain/record.js";
import type { LabConfigInput } from "../../src/lab/config.js";
import type { Lab } from "../../src/lab/lab.js";
import { ProcessFaults, type ProcessFaultsInput } from "../../src/lab/process/faults.js";
import type { ProcessMachine } from "../../src/lab/process/machine.js";
import type { Effect, EffectHook } from "../../workers/effects.js";
import { Operations } from "../support/operations.js";
import { type Begun, type Expected, Judge } from "./judge.js";

/** Twice what a session with every retry of every activity takes on two cores that eight others want too. */
const SESSION_MS = 240_000;
const HOOK = Symbol.for("pitstop.effects");

type MachineConfig = LabConfigInput["machines"][number];

/** An effect of a case's own target, and the how-manieth of its kind. */
export type Heard = Effect & { nth: number };
/** What a case wants to do at the effects of its own target. */
export type OnEffect = (effect: Heard) => Promise<void> | void;

/**
 * The operations server and many process machines in this process. Each case takes a target of its own, so that many run
 * at once; effects are told to the case whose target they are for.
 */
export class Fleet {
  readonly judge: Judge;
  private readonly cases = new Map<string, { on: OnEffect; seen: Map<string, number> }>();

  private constructor(
    readonly operations: Operations,
    readonly lab: Lab,
    readonly temporal: Client,
  ) {
    this.judge = new Judge({ data: operations.data, client: operations.client });
  }

  static async start(machines: MachineConfig[], settings: { embedded?: boolean } = {}): Promise<Fleet> {
    const hook: { now: EffectHook } = { now: () => undefined };
    // Before the server starts: it looks for a hook once.
    Reflect.set(globalThis, HOOK, (effect: Effect) => hook.now(effect));
    const operations = await Operations.start(settings);
    try {
      const file = (name: string) => operations.imageFile(name, randomBytes(4096));
      await operations.apply(
        ...[
          { kind: "Image", name: "tiny", role: "maintenance", arch: "x86_64" },
          {
            kind: "Action",
            name: "look",
            image: "tiny",
            mode: "active",
            tasks: [{ name: "look", script: "echo '{}'" }],
          },
        ].map((one) => (one.kind === "Image" ? { ...one, kernel: file("kernel"), initrds: [file("initrd")] } : one)),
      );
      const lab = await operations.machines(machines);
      const { address, namespace } = operations.temporal;
      const connection = await Connection.connect({ address });
      const fleet = new Fleet(operations, lab, new Client({ connection, namespace }));
      hook.now = (effect) => fleet.heard(effect);
      return fleet;
    } catch (error) {
      await operations.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    this.cases.clear();
    await this.temporal.connection.close();
    await this.operations.stop();
    Reflect.deleteProperty(globalThis, HOOK);
  }

  get client(): Operations["client"] {
    return this.operations.client;
  }

  machine(target: string): ProcessMachine {
    return this.lab.target(target).machine as ProcessMachine;
  }

  /** From now on `on` is called, and awaited, at each effect for the target. */
  at(target: string, on: OnEffect): void {
    this.cases.set(target, { on, seen: new Map() });
  }

  /** Starts a session; its id. */
  async start(target: string, action: string): Promise<string> {
    const { started, refused } = await this.client.start({ target, action, requestedBy: "a test" });
    const session = started[0]?.session;
    if (!session) throw new Error(`the session was refused: ${refused[0]?.problem.detail}`);
    return session;
  }

  /** Waits until the session has ended, or waits for a person. */
  async ended(session: string, withinMs = SESSION_MS): Promise<SessionRecord> {
    return await this.until(
      session,
      (record) => record.endedAt !== null || record.ending === "stranded",
      "ended",
      withinMs,
    );
  }

  /** Waits until the session's record is as `wanted` says. */
  async until(
    session: string,
    wanted: (record: SessionRecord) => boolean,
    what: string,
    withinMs = SESSION_MS,
  ): Promise<SessionRecord> {
    const end = Date.now() + withinMs;
    for (;;) {
      const record = await this.client.session(session).catch(() => null);
      if (record && wanted(record)) return record;
      if (Date.now() > end) {
        throw new Error(`the session ${session} has not ${what} in ${withinMs / 1000} s: it is ${record?.phase}`);
      }
      await sleep(250);
    }
  }

  private async heard(effect: Effect): Promise<void> {
    const mine = effect.target === null ? undefined : this.cases.get(effect.target);
    if (!mine) return;
    const key = `${effect.when} ${effect.point}`;
    const nth = (mine.seen.get(key) ?? 0) + 1;
    mine.seen.set(key, nth);
    await mine.on({ ...effect, nth });
  }
}

/** A case: what happens to a target, and what must be so afterwards. */
export interface Case {
  name: string;
  action?: string;
  on?: OnEffect;
  /** What is wrong with the target's machine. */
  faults?: ProcessFaultsInput;
  /** Runs before anything is looked at. */
  prepare?: (target: string) => Promise<void>;
  /** Runs while the session does; without it the session is started and its end awaited. */
  run?: (fleet: Fleet, target: string) => Promise<Expected>;
  expected?: Omit<Expected, "sessions">;
}

/** How many targets are away at once, for whichever test; who asks first is first. */
export class Slots {
  private readonly waiting: (() => void)[] = [];
  constructor(private free: number) {}

  async hold<T>(work: () => Promise<T>): Promise<T> {
    if (this.free > 0) this.free--;
    else await new Promise<void>((go) => this.waiting.push(go));
    try {
      return await work();
    } finally {
      const next = this.waiting.shift();
      if (next) next();
      else this.free++;
    }
  }
}

/**
 * Runs the cases, as many at once as there are slots, each on one of the targets; what was not as it should be, by the case's
 * name. A target that is home as it was is given back and serves another case later; the others are gone from `targets`.
 */
export async function runCases(
  fleet: Fleet,
  targets: string[],
  cases: Case[],
  slots: Slots,
): Promise<Record<string, string[]>> {
  const failures: Record<string, string[]> = {};
  const run = async (one: Case) => {
    const target = targets.shift();
    const said = target === undefined ? ["No target is left."] : await runCase(fleet, target, one);
    if (said.length > 0) failures[one.name] = said;
    else if (target !== undefined && !one.prepare) targets.push(target);
  };
  await Promise.all(cases.map((one) => slots.hold(() => run(one))));
  return failures;
}

async function runCase(fleet: Fleet, target: string, one: Case): Promise<string[]> {
  let begun: Begun | null = null;
  try {
    await one.prepare?.(target);
    begun = await fleet.judge.begin(target);
    fleet.at(target, one.on ?? (() => undefined));
    fleet.machine(target).injectFaults(ProcessFaults.parse(one.faults ?? {}));
    const expected = one.run ? await one.run(fleet, target) : { sessions: [await startAndEnd(fleet, target, one)] };
    const said = await fleet.judge.complaints(begun, { ...one.expected, ...expected });
    return said.length === 0 ? [] : [...said, ...fleet.judge.logSince(begun)];
  } catch (error) {
    return [messageOf(error), ...(begun ? fleet.judge.logSince(begun) : [])];
  }
}

async function startAndEnd(fleet: Fleet, target: string, one: Case): Promise<string> {
  const session = await fleet.start(target, one.action ?? "look");
  await fleet.ended(session);
  return session;
}

/** Names of process machines. */
export const names = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}-${String(index + 1).padStart(3, "0")}`);
