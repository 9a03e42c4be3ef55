import { known as knownValue } from "../../../src/domain/reading.js";
import { SessionRecord } from "../../../src/domain/record.js";
import type { SessionSummary } from "../../../src/domain/session.js";
import type { BootSnapshot } from "../../../src/domain/snapshot.js";
import { PASSWORD } from "./bmc.js";
import { elapsed } from "./clock.js";
import type { Boot, Machine } from "./machine.js";
import { VOID } from "./strangers.js";
import type { Execution } from "./temporal.js";
import { LEASE_MS, type World } from "./world.js";

/** Clocks, latencies and rounding: what a lease may be longer than the model says. */
const SLACK_MS = 3_000;
/** As many wrong passwords as a session may bring to a BMC until a person has it tried again, by a site that was not started anew. */
const LOGINS_REFUSED = 2;
/** What a proof may not see any more: the target was asked before the BMC was read, which answers late and with old readings. */
const PROOF_MS = 60_000;
/** As long as the product waits for Temporal's word before it goes on without. */
const UNASKED_MS = 3_000;

interface Known {
  wasOn: boolean;
  bootIdBefore: string;
  policy: "abort" | "force";
  writer: string | null;
  writers: Set<string>;
  /** Sessions of which the BMC took a write, or passed over it; a refused one changes nothing. */
  takenFrom: Set<string>;
  readSinceReset: boolean;
  snapshot: string | null;
  /** What its home checks said before departure, by the capture that was heard last. */
  homeBefore: BootSnapshot["home"];
  released: boolean;
  refusedLogins: Map<string, number>;
  /** The boot whose token was given last. */
  token: { token: string; bootId: string; arming: string | null } | null;
  /** The arming whose nonce and token a second hello has revoked. */
  revokedArming: string | null;
  forgedArming: string | null;
  blindLease: { bootId: string | null; until: number } | null;
  /** When the last proof of home was given, whatever it said. */
  provedAt: number;
  leftIn: string | null;
}

/**
 * The promises of docs/reliability.md as a small model: what must be so at each write, answer and end, by what is
 * true in the simulated world, whatever the product believes.
 */
export class Promises {
  broken: { promise: number; sentence: string } | null = null;
  readonly rightPassword = PASSWORD;
  readonly endings: string[] = [];
  private readonly machines = new Map<Machine, Known>();
  private unaskedAt = Number.NEGATIVE_INFINITY;
  private readonly finalRecords = new Map<string, SessionRecord[]>();
  /** What must be nowhere that anybody reads, and how a sentence names it. */
  private readonly secrets = new Map([[PASSWORD, "The BMC's password"]]);

  constructor(private readonly world: World) {}

  break(promise: number, sentence: string): void {
    if (this.broken) return;
    this.broken = { promise, sentence };
    this.world.tell(`PROMISE ${promise} IS BROKEN: ${sentence}`);
  }

  known(machine: Machine, policy: "abort" | "force"): void {
    this.machines.set(machine, {
      wasOn: machine.power === "On",
      bootIdBefore: machine.bootId,
      policy,
      writer: null,
      writers: new Set(),
      takenFrom: new Set(),
      readSinceReset: false,
      snapshot: null,
      homeBefore: [],
      released: false,
      refusedLogins: new Map(),
      token: null,
      revokedArming: null,
      forgedArming: null,
      blindLease: null,
      provedAt: Number.POSITIVE_INFINITY,
      leftIn: null,
    });
  }

  wasOn = (machine: Machine): boolean => this.of(machine).wasOn;
  isReleased = (machine: Machine): boolean => this.of(machine).released;

  /** 1 and 11: a phase that a session enters. */
  phase(run: Execution, phase: string): void {
    this.world.phases.add(phase);
    if (!run.id.startsWith("maintenance/")) {
      this.break(11, `A session runs under the id ${run.id}, which locks nothing.`);
    }
  }

  /** A write has been executed. */
  bmcTook(machine: Machine, session: string | null): void {
    if (session !== null) this.of(machine).takenFrom.add(session);
  }

  /** 2, 5, 8, 11 and 3: before each write to a BMC. */
  bmcWrite(machine: Machine, session: string | null, path: string, body: { [key: string]: unknown }): void {
    const known = this.of(machine);
    if (session === null) {
      this.break(11, `${machine.name}'s BMC is written to by nobody's session.`);
      return;
    }
    this.oneWriter(machine, known, session);
    this.snapshotKept(machine, known);
    if (path.endsWith("ComputerSystem.Reset")) this.reset(machine, known, session, String(body.ResetType));
    if (
      path.endsWith("EjectMedia") &&
      machine.running === "image" &&
      machine.bmc.medium !== null &&
      machine.power === "On"
    ) {
      const { phase } = this.run(session) ?? { phase: "" };
      if (phase === "working") this.break(5, `${machine.name}'s medium is ejected under its live image.`);
    }
    const boot = body.Boot as { BootSourceOverrideEnabled?: string } | undefined;
    if (boot?.BootSourceOverrideEnabled !== "Disabled") return;
    const { phase = "" } = this.run(session) ?? {};
    if (["arming", "rebooting", "working"].includes(phase)) {
      this.break(5, `${machine.name}'s override is cleared in ${phase}, before its firmware had used it.`);
    }
  }

  private oneWriter(machine: Machine, known: Known, session: string): void {
    if (known.writer === session) return;
    if (known.writers.has(session)) {
      this.break(11, `${machine.name} is written to by ${session}, although ${known.writer} has begun since.`);
    }
    if (known.writer !== null && this.run(known.writer)?.status === "open") {
      this.break(11, `${machine.name} is written to by two open sessions.`);
    }
    known.writers.add(session);
    known.writer = session;
  }

  /** The first write comes after the snapshot: on the site's disk for good, and in the catalogue. */
  private snapshotKept(machine: Machine, known: Known): void {
    const text = this.world.disk.durableText(this.world.journalFile(machine));
    const inJournal = text !== null && (JSON.parse(text) as { snapshot: BootSnapshot | null }).snapshot !== null;
    const kept = this.world.catalogue.snapshots.get(machine.name);
    if (!kept && !inJournal) this.break(2, `${machine.name} is written to while nobody keeps its boot snapshot.`);
    if (!kept) {
      const { phase = "" } = known.writer ? (this.run(known.writer) ?? {}) : {};
      if (phase === "arming") this.break(2, `${machine.name} is armed before its boot snapshot is in the catalogue.`);
      return;
    }
    if (!inJournal && !this.world.adversary.hits.has("journal lost")) {
      this.break(2, `${machine.name} is written to before its boot snapshot is on the site's disk for good.`);
    }
    this.sameSnapshot(machine, known, kept);
  }

  private sameSnapshot(machine: Machine, known: Known, kept: BootSnapshot): void {
    const text = JSON.stringify(kept);
    if (known.snapshot !== null && known.snapshot !== text) {
      this.break(2, `${machine.name}'s boot snapshot was replaced while it was open.`);
    }
    known.snapshot = text;
    const [override, media] = [knownValue(kept.state.override), knownValue(kept.state.media)];
    if (override?.enabled !== "Disabled" || media?.some((slot) => slot.inserted) !== false) {
      this.break(2, `${machine.name}'s home was learnt while it was armed.`);
    }
  }

  private reset(machine: Machine, known: Known, session: string, kind: string): void {
    // Where its owner allows force, a shutdown that is refused is followed by it at once.
    const follows = kind === "ForceOff" && known.policy === "force";
    if (!known.readSinceReset && !follows)
      this.break(3, `${machine.name} is told ${kind} without a look since the last reset.`);
    known.readSinceReset = false;
    const { phase = "" } = this.run(session) ?? {};
    if (kind === "ForceOff" && known.policy === "abort" && machine.isOwnSystemUp) {
      this.break(8, `${machine.name}'s own system is forced off in ${phase}, although its owner says abort.`);
    }
    if (kind !== "On" || machine.power === "On" || !["restoring", "verifying"].includes(phase)) return;
    const { override, medium } = machine.bmc;
    if (override.enabled !== "Disabled") {
      this.break(
        5,
        `${machine.name} is powered on to go home while its override is ${override.enabled} ${override.target}.`,
      );
    }
    if (medium !== null) this.break(5, `${machine.name} is powered on to go home with our medium in its drive.`);
  }

  bmcRead(machine: Machine): void {
    this.of(machine).readSinceReset = true;
  }

  /** 9: a refused password is not tried over and over. */
  login(machine: Machine, session: string | null, ok: boolean): void {
    if (ok || session === null) return;
    const { refusedLogins } = this.of(machine);
    const count = (refusedLogins.get(session) ?? 0) + 1;
    refusedLogins.set(session, count);
    const retries = this.world.adversary.hits.get("person retries") ?? 0;
    if (count > LOGINS_REFUSED * (retries + this.world.siteStarts) && this.world.adversary.active) {
      this.break(9, `${machine.name}'s BMC has refused the password ${count} times: it locks the account.`);
    }
  }

  /** 10 and 4: what the gateway tells an image. */
  tokenGiven(machine: Machine, token: string): void {
    this.of(machine).token = { token, bootId: machine.bootId, arming: this.arming(machine) };
    this.secrets.set(token, "An agent's token");
    if (machine.running !== "image") this.break(10, `A token was given to ${machine.name}, which runs no image.`);
  }

  /** `armedAs`: the arming that was in force when the request was sent. */
  tokenTaken(machine: Machine, token: string, boot: Boot, armedAs: string | null): void {
    const known = this.of(machine);
    const given = known.token?.token === token ? known.token.arming : null;
    // Of one session: in another one the token is another one, and an arming that a disk has lost is no later one.
    const [session, epoch] = given?.split(" ") ?? [];
    const [sessionThen, epochThen] = armedAs?.split(" ") ?? [];
    if (given !== null && session === sessionThen && Number(epochThen) > Number(epoch)) {
      this.break(10, `The token of an earlier arming of ${machine.name} was taken.`);
    }
    if (boot.bootId !== machine.bootId) this.break(10, `The token of an earlier boot of ${machine.name} was taken.`);
    if (known.revokedArming !== null && known.revokedArming === this.arming(machine) && known.token?.token === token) {
      this.break(10, `${machine.name}'s token was taken although a second hello has revoked it.`);
    }
  }

  forgedHello(machine: Machine): void {
    this.of(machine).forgedArming = this.arming(machine);
    this.world.tell(`${machine.name}: somebody else says hello with its nonce`);
  }

  forgedAnswered(machine: Machine, status: number): void {
    if (status === 200) this.break(10, `A forged hello in the name of ${machine.name} was answered with a token.`);
    // 410 says that both are revoked, from now on.
    const known = this.of(machine);
    // The answer takes its time: it speaks of the arming in which the hello was sent.
    if (status === 410) known.revokedArming = known.forgedArming;
  }

  /** A session is asked for, and Temporal does not answer: what follows at once from that is no broken promise. */
  couldNotAsk(): void {
    this.unaskedAt = elapsed();
  }
  private get unasked(): boolean {
    return elapsed() - this.unaskedAt <= UNASKED_MS;
  }

  arming(machine: Machine): string | null {
    const entry = this.world.entry(machine);
    return entry?.boot ? `${entry.session} ${entry.boot.epoch}` : null;
  }

  scriptServed(machine: Machine): void {
    const run = this.world.temporal.executions.findLast((one) => one.id.endsWith(`/${machine.name}`));
    if (run?.phase === "verifying") {
      this.break(4, `${machine.name} is on its way home, and the boot server sends it into an image.`);
    }
    if (run && run.status === "completed" && !this.unasked) {
      this.break(4, `${machine.name} was served an image although its session has ended.`);
    }
  }

  leaseGiven(machine: Machine, leaseMs: number): void {
    const entry = this.world.entry(machine);
    if (!entry) return;
    const run = this.run(entry.session);
    if (!run || run.endedAt === null) return;
    const known = this.of(machine);
    // The first lease of a boot, given when nobody could say whether its session still lives.
    if (this.unasked && known.blindLease?.bootId !== machine.bootId) {
      known.blindLease = { bootId: machine.bootId, until: elapsed() + leaseMs };
    }
    if (known.blindLease?.bootId === machine.bootId && elapsed() + leaseMs <= known.blindLease.until + SLACK_MS) return;
    // What a clock that was set back before the site came up excuses: one lease from then on, by a journal that says more.
    const longest = Math.max(run.endedAt, this.world.siteFoundBackAt) + LEASE_MS - elapsed() + SLACK_MS;
    if (leaseMs > 0 && leaseMs > longest) {
      this.break(4, `${machine.name}'s lease was extended by ${leaseMs} ms although its session is no more.`);
    }
  }

  leftByItself(machine: Machine): void {
    const run = this.world.temporal.open(`maintenance/${machine.name}`);
    const known = this.of(machine);
    known.leftIn = run?.phase === "working" ? run.runId : null;
  }

  /** 9: what leaves the process. */
  answered(run: Execution, name: string, value: unknown): void {
    const machine = this.world.machines.find((one) => run.id.endsWith(`/${one.name}`));
    if (name === "verifyHome" && machine) this.of(machine).provedAt = elapsed();
    if (name === "captureSnapshot" && machine) {
      this.of(machine).homeBefore = (value as { snapshot: BootSnapshot }).snapshot.home;
    }
    this.search(`the result of ${name}`, JSON.stringify(value ?? null));
  }
  failed(error: Error): void {
    this.search("a failure", `${error.message} ${JSON.stringify((error as { details?: unknown }).details ?? null)}`);
  }
  shown(text: string): void {
    this.search("the log", text);
  }
  /** A finding or a log, as it goes into the store. */
  kept(bytes: Uint8Array): void {
    this.search("the object store", Buffer.from(bytes).toString());
  }
  bmcTokenGiven(token: string): void {
    this.secrets.set(token, "A token of a BMC's session");
  }
  private search(where: string, text: string): void {
    for (const [secret, name] of this.secrets) {
      if (text.includes(secret)) this.break(9, `${name} is in ${where}.`);
    }
  }

  recorded(record: SessionRecord): void {
    const text = JSON.stringify(record);
    this.search("a record", text);
    if (text.includes(VOID)) {
      this.break(10, `A signal that was not its own is in the record of ${record.session}.`);
    }
    const whole = SessionRecord.safeParse(record);
    if (!whole.success) this.break(1, `A record is not one: ${whole.error.issues[0]?.path.join(".")}.`);
    if (record.ending === null || record.ending === "stranded") return;
    const isGuess = (one: SessionRecord) => one.failure?.code === "lost";
    const before = this.finalRecords.get(record.session) ?? [];
    // A session that was terminated in its last step may have its own word still: it is the truth, whatever was guessed before.
    const all = [...(isGuess(record) ? before : before.filter((one) => !isGuess(one))), record];
    this.finalRecords.set(record.session, all);
    if (new Set(all.map((one) => one.ending)).size > 1) {
      this.break(1, `The session ${record.session} has two endings.`);
    }
  }

  released(machine: Machine): void {
    this.of(machine).released = true;
  }

  /** 1, 6 and 7: a session's end, and where its target then is. */
  ended(run: Execution): void {
    const machine = this.world.machines.find((one) => run.id.endsWith(`/${one.name}`));
    if (!machine) return;
    if (run.status === "terminated") {
      // It had said how its way home ended (docs/architecture.md): its snapshot is a thing of the past, wherever it still stands.
      if (run.phase === "restored" || run.phase === "released") this.of(machine).snapshot = null;
      return;
    }
    if (run.status === "failed") {
      this.endings.push("refused");
      if (this.of(machine).writer === run.runId) {
        this.break(
          1,
          `A session of ${machine.name} failed after it had written to the target: ${run.failure?.message}.`,
        );
      }
      return;
    }
    const summary = run.result as SessionSummary;
    this.endings.push(summary.untouched ? "untouched" : summary.ending);
    if (summary.ending === "released") this.of(machine).released = true;
    if (summary.ending === "stranded")
      this.break(1, `${machine.name}'s session has ended, and its target is stranded.`);
    if (summary.untouched && this.of(machine).takenFrom.has(run.runId)) {
      this.break(1, `${machine.name}'s session says untouched, and it has written to its BMC.`);
    }
    const known = this.of(machine);
    if (summary.ending === "restored" && !summary.untouched) this.home(machine, known, run);
    const record = this.finalRecords.get(run.runId)?.at(-1);
    if (record && record.action !== "resume" && record.contacts.length > 1) {
      this.break(
        6,
        `${machine.name} rebooted in its image, and was taken there again by an action that does not resume.`,
      );
    }
    if (known.leftIn === run.runId && summary.outcome === "succeeded") this.unseen(machine, known, run);
    // Restored or released, it is closed with its session.
    if (!this.world.catalogue.snapshots.has(machine.name)) known.snapshot = null;
    known.leftIn = null;
  }

  private home(machine: Machine, known: Known, run: Execution): void {
    const record = this.finalRecords.get(run.runId)?.at(-1);
    if (!record) return;
    const before = record.restore.before?.power === "On";
    const { override, medium } = machine.bmc;
    // Whoever resets a target after its proof is not the session's business.
    if (machine.strangerAt > known.provedAt - PROOF_MS) return;
    if (override.enabled !== "Disabled")
      this.break(7, `${machine.name} counts as restored, and is armed: ${override.target}.`);
    if (medium !== null) this.break(7, `${machine.name} counts as restored, and has our medium in its drive.`);
    const up = machine.running === "home";
    if (before && !up)
      this.break(7, `${machine.name} counts as restored, and its own system does not run: ${machine.running}.`);
    if (!before && machine.power === "On")
      this.break(7, `${machine.name} counts as restored, and is on where it was off.`);
    // What did not answer before departure cannot be compared with.
    const comparable = known.homeBefore.some((answer) => answer.answered);
    if (before && comparable && record.home.strength !== "strong") {
      this.break(7, `${machine.name} counts as restored by the proof "${record.home.strength}" alone.`);
    }
  }

  /** An image that rebooted in the midst of its work did not succeed, unless the action resumed in another boot. */
  private unseen(machine: Machine, _known: Known, run: Execution): void {
    const record = this.finalRecords.get(run.runId)?.at(-1);
    if (!record || record.contacts.length > 1) return;
    const done = record.tasks.length > 0 && record.tasks.every((task) => task.status === "succeeded");
    // Every task had its result: what the target did after that took nothing from the work.
    if (done) return;
    this.break(
      6,
      `${machine.name} left its image by itself in the midst of the work, and the work counts as succeeded.`,
    );
  }

  /** At every beat. */
  look(): void {
    for (const [machine, known] of this.machines) {
      const kept = this.world.catalogue.snapshots.get(machine.name);
      if (kept && known.snapshot !== null) this.sameSnapshot(machine, known, kept);
    }
  }

  atTheEnd(): void {
    this.search("the site's disk", this.world.disk.allText());
    for (const run of this.world.temporal.executions) {
      if (run.status === "completed" && !this.finalRecords.has(run.runId)) {
        this.break(1, `The session ${run.runId} has ended without a record of its ending.`);
      }
    }
  }

  private of(machine: Machine): Known {
    const known = this.machines.get(machine);
    if (!known) throw new Error(`The machine ${machine.name} is unknown to the model.`);
    return known;
  }

  private run(session: string): Execution | undefined {
    return this.world.temporal.executions.find((one) => one.runId === session);
  }
}
