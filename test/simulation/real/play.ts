import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../../../src/domain/errors.js";
import type { Phase } from "../../../src/domain/ids.js";
import type { SessionRecord } from "../../../src/domain/record.js";
import type { LabTarget } from "../../../src/lab/lab.js";
import type { ProcessMachine } from "../../../src/lab/process/machine.js";
import { within } from "./bounds.js";
import { Broken, perform } from "./deeds.js";
import { kindOf, Met, waits } from "./met.js";
import type { Phases } from "./phases.js";
import { asTaught, judge, lookBefore, watchCuts } from "./promises.js";
import type { Move, TargetSchedule } from "./schedule.js";
import type { World } from "./world.js";

/** From the announcement on: a person puts the machine right and asks again, a few times at most. */
const RETRIES = 4;
/** The longest way through a session with every bound run into, on a busy host; after it the session is called stuck. */
const SETTLE_MS = 12 * 60_000;
/** For all sessions of a target and their judgement: an attack always ends, and says where it stood. */
const TARGET_MS = 30 * 60_000;

export interface Played {
  broken: string[];
  /** Why sessions were announced stranded on the way. */
  stranded: string[];
  outcomes: string[];
  story: string[];
  /** What of the adversary came to pass. */
  met: Met;
}

/** Plays the adversary of one target to its end, and judges it. */
export async function play(world: World, phases: Phases, schedule: TargetSchedule): Promise<Played> {
  const target = world.lab.target(schedule.machine.name);
  const player = new Player(world, phases, target);
  const cuts = watchCuts(world, target);
  try {
    await within(TARGET_MS, "its sessions and their judgement have not ended", async () => {
      const before = await lookBefore(target);
      const records: SessionRecord[] = [];
      for (const { action, moves } of schedule.sessions) records.push(await player.session(action, moves));
      player.broken.push(...(await judge(world, target, asTaught(before, target, records), records)));
    });
  } catch (error) {
    player.broken.push(`the attack itself ended: ${messageOf(error)}`);
  }
  player.broken.push(...cuts);
  if (schedule.machine.ignorePowerButton) player.met.due("machine ignorePowerButton");
  player.met.addTarget(target);
  return player;
}

class Player implements Played {
  readonly broken: string[] = [];
  readonly stranded: string[] = [];
  readonly outcomes: string[] = [];
  readonly story: string[] = [];
  readonly met = new Met();
  readonly #began = Date.now();

  constructor(
    private readonly world: World,
    private readonly phases: Phases,
    private readonly target: LabTarget,
  ) {}

  async session(action: string, moves: Move[]): Promise<SessionRecord> {
    for (const move of moves) if (move.phase === "start") await this.#move(null, move);
    const session = await this.#start(action);
    const over = new AbortController();
    let record = await this.#settled(session, (phase) => {
      this.#tell(phase);
      if (phase === "waiting") void this.#approve(session);
      for (const move of moves) if (move.phase === phase) void this.#later(session, move, over.signal);
    });
    over.abort();
    this.#heal();
    if (record.endedAt !== null && record.untouched) await this.#replaceDisk();
    for (let tries = 1; record.endedAt === null; tries++) {
      this.#tell(`stranded: ${record.stranded?.code}: ${record.stranded?.message}`);
      this.stranded.push(`${record.stranded?.code}: ${record.stranded?.message}`);
      if (!record.stranded?.message) this.broken.push("it is stranded and does not say why");
      await this.#repair();
      if (tries > RETRIES) throw new Error(`${RETRIES} retries did not bring ${this.target.name} home`);
      await this.#asPerson(() => this.world.client.retry(session, { by: "the owner" }));
      // The announcement stands until the session has taken the word.
      await sleep(2_000);
      record = await this.#settled(session, (phase) => this.#tell(phase));
    }
    if (record.failure) this.#tell(`the work: ${record.failure.code}: ${record.failure.message}`);
    for (const note of record.notes) this.#tell(`noted: ${note}`);
    this.outcomes.push(`${record.outcome}${record.untouched ? " untouched" : ""}`);
    return record;
  }

  async #start(action: string): Promise<string> {
    const { name } = this.target;
    for (;;) {
      try {
        const answer = await this.world.client.start({ target: name, action, requestedBy: "the attack" });
        const session = answer.started[0]?.session;
        if (session) return session;
        throw new Error(answer.refused[0]?.problem.detail);
      } catch (error) {
        const { code = "" } = error as { code?: string };
        if (!["busy", "unreachable", "internal", "conflict"].includes(code)) throw error;
        // It was taken, and its answer was lost.
        const taken = code === "busy" ? await this.world.client.session(name).catch(() => null) : null;
        if (taken) return taken.session;
        this.#tell(`not started: ${messageOf(error)}`);
        await sleep(1_000);
      }
    }
  }

  async #settled(session: string, entered: (phase: Phase) => void): Promise<SessionRecord> {
    const settled = () => this.phases.settled(session, entered);
    return await within(SETTLE_MS, `the session ${session} is neither home nor stranded`, settled).catch(
      async (error) => {
        throw new Error(`${messageOf(error)}: ${await this.#whereItStands(session)}`);
      },
    );
  }

  /** What a session that does not end is doing, in its own words and in Temporal's. */
  async #whereItStands(session: string): Promise<string> {
    const phase = await this.world.client.session(session).then((record) => record.phase, messageOf);
    const pending = await this.world.pending(this.target.name).catch(messageOf);
    return JSON.stringify({ phase, pending });
  }

  async #later(session: string, move: Move, over: AbortSignal): Promise<void> {
    await sleep(move.afterMs, undefined, { signal: over }).catch(() => undefined);
    if (!over.aborted) await this.#move(session, move);
  }

  async #move(session: string | null, move: Move): Promise<void> {
    const { phase: _phase, afterMs: _afterMs, ...deed } = move;
    this.#tell(`the adversary: ${JSON.stringify(deed)}`);
    this.met.due(kindOf(deed));
    try {
      await perform(this.world, this.target, session, deed);
      if (!waits(deed)) this.met.met(kindOf(deed));
    } catch (error) {
      if (error instanceof Broken) this.broken.push(error.message);
      else this.#tell(`in vain: ${messageOf(error)}`);
    }
  }

  /**
   * As the person who must approve: again while it waits. A server that was killed right after it told so has a session that is not
   * there yet when the word comes.
   */
  async #approve(session: string): Promise<void> {
    const { client } = this.world;
    for (let tries = 0; tries < 60; tries++) {
      await this.#asPerson(() => client.approve(session, { by: "the owner" }));
      await sleep(2_000);
      const phase = await client.session(session).then(
        (record) => record.phase,
        () => "waiting",
      );
      if (phase !== "waiting" && phase !== "planning") return;
    }
  }

  /** A person's word is repeated while nobody hears it, and may come too late. */
  async #asPerson(say: () => Promise<unknown>): Promise<void> {
    for (let tries = 0; tries < 60; tries++) {
      const code = await say().then(
        () => null,
        (error) => String((error as { code?: unknown }).code),
      );
      if (code !== "unreachable" && code !== "internal") {
        if (code !== null) this.#tell(`a person's word was refused: ${code}`);
        return;
      }
      await sleep(1_000);
    }
  }

  /** The adversary lets go of the machine; whoever was called puts it right. */
  #heal(): void {
    this.target.bmc.faults.clear();
    this.world.forgive(this.target.name);
    (this.target.machine as ProcessMachine).injectFaults({
      noFirstContact: false,
      hangsAfterScript: false,
      noUriBoot: false,
      silentAfterMs: null,
      resetAfterMs: null,
      ignorePowerButton: false,
      brokenDisk: false,
      asksNetwork: false,
    });
  }

  /** Whoever reset the machine while its disk was broken left it hanging, and an untouched session leaves it so. */
  async #replaceDisk(): Promise<void> {
    await this.target.bmc.settled();
    if (this.#whereItRuns() === "hung") await this.#reset("its owner puts another disk in and resets the machine");
  }

  /**
   * A machine that is on and not in its own system hangs (an image that stands still, too: process machines have no watchdog),
   * and is reset by whoever was called: Pitstop does not force what may be the owner's own system.
   */
  async #repair(): Promise<void> {
    const where = this.#whereItRuns();
    if (where !== null && where !== "home") await this.#reset(`a person resets the machine, which is ${where}`);
  }

  /** How far the present boot has come; null while the machine is off. */
  #whereItRuns() {
    const machine = this.target.machine as ProcessMachine;
    return machine.isOn() ? (machine.boots.at(-1)?.cameOutAt ?? "firmware") : null;
  }

  async #reset(told: string): Promise<void> {
    this.#tell(told);
    await perform(this.world, this.target, null, { do: "strange reset", type: "ForceRestart" });
  }

  #tell(what: string): void {
    if (this.story.length < 300) this.story.push(`${((Date.now() - this.#began) / 1000).toFixed(1)} s  ${what}`);
  }
}
