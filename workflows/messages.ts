import { ApplicationFailure, defineQuery, defineSignal, defineUpdate, setHandler } from "@temporalio/workflow";
import type {
  ByPerson,
  CampaignEnded,
  CampaignSummary,
  DoneSignal,
  HelloSignal,
  RebootedSignal,
  SessionStatus,
  SuppliedTask,
  TaskResult,
} from "../src/domain/session.js";

export const helloSignal = defineSignal<[HelloSignal]>("hello");
export const doneSignal = defineSignal<[DoneSignal]>("done");
export const rebootedSignal = defineSignal<[RebootedSignal]>("rebooted");
export const statusQuery = defineQuery<SessionStatus>("status");
// Updates, not signals: the person who asks is told whether it was taken.
export const approveUpdate = defineUpdate<void, [ByPerson]>("approve");
export const abortUpdate = defineUpdate<void, [ByPerson]>("abort");
export const supplyTaskUpdate = defineUpdate<void, [SuppliedTask]>("supplyTask");
export const retryRestoreUpdate = defineUpdate<void, [ByPerson]>("retryRestore");
export const releaseTargetUpdate = defineUpdate<void, [ByPerson]>("releaseTarget");

/** From a session to its campaign: it has ended, is stranded, or has waited for 30 min for what is away. */
export const announcedSignal = defineSignal<[CampaignEnded]>("announced");
export const campaignStatusQuery = defineQuery<CampaignSummary>("status");

/** Tasks that one session takes from outside: its history stays short, and a site keeps as many results. */
const MAX_SUPPLIED = 400;

/** Why the work was cut short. */
export type Interrupt =
  | { kind: "abort"; by: string; reason: string }
  | { kind: "rebooted"; how: string }
  | { kind: "deadline" };

/** The messages that the session has received. Handlers record them; the main line acts on them. */
export interface Inbox {
  hello: HelloSignal | null;
  done: DoneSignal | null;
  /** All of them, done or not. */
  supplied: SuppliedTask[];
  approvedBy: string | null;
  retryRequested: boolean;
  released: { by: string; reason: string } | null;
  abort: { by: string; reason: string } | null;
}

/** What the handlers must know of the session to refuse a message that has no meaning now. */
export interface Listener {
  session: string;
  epoch(): number;
  status(): SessionStatus;
  /** Whether the action may write to the target's devices: the plan chose its boot ways by that. */
  isDestructive(): boolean;
  /** Called where the target's own system was heard in a boot attempt that made no contact. */
  homeAnswered(attempt: number): void;
  /** Called for each interrupt, so that the main line can stop what it is doing. */
  interrupt(cause: Interrupt): void;
}

/** Sets every handler. Called before the first await, so that no early message finds none. */
export function listen(to: Listener): Inbox {
  const inbox: Inbox = {
    hello: null,
    done: null,
    supplied: [],
    approvedBy: null,
    retryRequested: false,
    released: null,
    abort: null,
  };
  // A signal cannot be refused, and may be anything that somebody typed, nothing included: what is not whole is let fall.
  // A handler that throws would stop the session at this message for ever, its way home included.
  const current = (message: { session: string; epoch: number; bootId: string } | null | undefined) =>
    typeof message?.bootId === "string" && message.session === to.session && message.epoch === to.epoch();

  setHandler(statusQuery, () => to.status());
  setHandler(helloSignal, (hello) => {
    if (!current(hello) || !isHello(hello) || inbox.hello?.epoch === hello.epoch) return;
    inbox.hello = hello;
    // Signals come in any order: what came before the contact was perhaps not this boot's.
    if (inbox.done && !isOfOneBoot(hello, inbox.done)) inbox.done = null;
  });
  setHandler(doneSignal, (done) => {
    if (!current(done) || !isDone(done)) return;
    if (!inbox.hello || isOfOneBoot(inbox.hello, done)) inbox.done ??= done;
  });
  setHandler(rebootedSignal, (rebooted) => {
    if (!current(rebooted) || typeof rebooted.how !== "string") return;
    // Before the first contact it is a boot that went elsewhere: that is diagnosed and armed again.
    if (inbox.hello?.epoch === rebooted.epoch) to.interrupt({ kind: "rebooted", how: rebooted.how });
    else to.homeAnswered(rebooted.epoch);
  });
  setHandler(
    approveUpdate,
    (person) => {
      inbox.approvedBy = person.by;
    },
    {
      validator: (person) => {
        named(person);
        only(to.status().phase === "waiting", "approve", "it is not waiting for an approval");
      },
    },
  );
  setHandler(
    abortUpdate,
    (person) => {
      inbox.abort ??= { by: person.by, reason: person.reason ?? "" };
      to.interrupt({ kind: "abort", by: person.by, reason: person.reason ?? "" });
    },
    {
      validator: (person) => {
        named(person);
        only(!onTheWayHome(to.status()), "abort", "it is on its way home already");
      },
    },
  );
  setHandler(supplyTaskUpdate, (supplied) => void inbox.supplied.push(supplied), {
    validator: (supplied) => {
      named(supplied);
      only(
        isTaskOrNone(supplied),
        "take a task",
        "the task is not one that was planned; supply it by pitstop session supply",
      );
      only(to.status().phase === "working", "take a task", "it is not working in the image");
      only(
        supplied.task?.destructive !== true || to.isDestructive(),
        "take a task that unlocks devices",
        "its action is not destructive; start one that is",
      );
      only(inbox.supplied.length < MAX_SUPPLIED, "take a task", `it was given ${MAX_SUPPLIED} tasks already`);
    },
  });
  setHandler(
    retryRestoreUpdate,
    () => {
      inbox.retryRequested = true;
    },
    {
      validator: (person) => {
        named(person);
        only(needsOrWaits(to.status()), "retry the restore", "it is neither stranded nor waiting for what is away");
      },
    },
  );
  setHandler(
    releaseTargetUpdate,
    (person) => {
      inbox.released = { by: person.by, reason: person.reason ?? "" };
    },
    {
      validator: (person) => {
        named(person);
        only(needsOrWaits(to.status()), "release the target", "it is neither stranded nor waiting for what is away");
        only(Boolean(person.reason?.trim()), "release the target", "a release needs a reason");
      },
    },
  );
  return inbox;
}

/** Stranded, or on its way home and waiting for a site or BMC that is away. */
const needsOrWaits = (status: SessionStatus): boolean =>
  status.phase === "stranded" || (onTheWayHome(status) && status.waitingFor !== null);

const onTheWayHome = (status: SessionStatus): boolean =>
  ["restoring", "verifying", "restored", "stranded", "released"].includes(status.phase);

/** A site writes a boot's id as its agent did, or as the token of that boot has it, in small letters. */
const isOfOneBoot = (one: { bootId: string }, other: { bootId: string }): boolean =>
  one.bootId.toLowerCase() === other.bootId.toLowerCase();

const isTextOrNone = (value: unknown): boolean => (value ?? null) === null || typeof value === "string";
const isNumberOrNone = (value: unknown): boolean => (value ?? null) === null || Number.isFinite(value);

/** What goes from a signal into the record must be what the record says it is. */
const isHello = ({ at, firmware, uptimeSeconds }: HelloSignal): boolean =>
  isTime(at) && isTextOrNone(firmware) && isNumberOrNone(uptimeSeconds);

const isDone = ({ outcome, reason, results }: DoneSignal): boolean =>
  ["succeeded", "failed"].includes(outcome) &&
  isTextOrNone(reason) &&
  Array.isArray(results) &&
  results.every(isResult);

/** What a result must have for the session to count it and its record to be written. */
function isResult(result: Partial<TaskResult> | null | undefined): boolean {
  const { id, name, status, exitCode, durationMs, reason, findingSha256, logSha256 } = result ?? {};
  const isDigest = (value: unknown) => value === null || (typeof value === "string" && /^[0-9a-f]{64}$/.test(value));
  const ended = ["succeeded", "failed", "timedOut", "cancelled"];
  const isText = typeof id === "string" && typeof name === "string" && ended.includes(String(status));
  const isTold = isNumberOrNone(exitCode) && isTextOrNone(reason);
  return isText && isTold && Number.isFinite(durationMs) && isDigest(findingSha256) && isDigest(logSha256);
}

const isTime = (text: unknown): boolean => typeof text === "string" && !Number.isNaN(Date.parse(text));

/** Null says that nothing more comes. The rest of a planned task is its site's to check. */
function isTaskOrNone({ task, last }: SuppliedTask): boolean {
  if (task === null) return last === true;
  const { id, name, scriptSha256, timeoutMs } = task ?? {};
  return [id, name, scriptSha256].every((text) => typeof text === "string") && Number.isFinite(timeoutMs);
}

/** Who asks is written into the record, so it is text and nothing else. */
function named(person: { by?: unknown; reason?: unknown } | null | undefined): void {
  const isText = (value: unknown) => value === undefined || typeof value === "string";
  if (!person?.by || !isText(person.by) || !isText(person.reason))
    throw ApplicationFailure.nonRetryable('Say who asks, as {"by": "name"}.', "invalid");
}

function only(condition: boolean, what: string, why: string): void {
  if (!condition) throw ApplicationFailure.nonRetryable(`The session cannot ${what}: ${why}.`, "conflict");
}
