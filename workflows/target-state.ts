import type { Whereabouts } from "../activities/contract.js";
import type { PowerAction } from "../src/domain/session.js";

/**
 * What the session knows of its target: one value, changed by `observe` alone, and beside it a list of what happened that
 * only grows. Times are the workflow's own, in milliseconds since 1970; a site is given lengths of time only.
 */
export type TargetState =
  /** Its own system runs, or is on its way up. It is never forced off. */
  | { is: "home" }
  /** Its own system was asked to shut down, and has so long for that, in milliseconds. */
  | { is: "leaving"; mayObeyForMs: number }
  | { is: "off" }
  /** Powered on, armed, and not heard of since. `unseen`: nobody saw the arming of this boot done. */
  | { is: "booting"; attempt: number; since: number; armed: "seen" | "unseen" }
  /** The image of this boot attempt made contact. */
  | { is: "image"; attempt: number }
  /** Silent since then, for longer than its own system needs to come up: an image that hangs. */
  | { is: "mute"; since: number }
  /** The image, or its own system on its way up: it is left alone. `since`: when it fell silent; null where it did not. */
  | { is: "unknown"; since: number | null };

export type TargetEvent =
  /** The boot snapshot was taken; `adopted`: by a session that was lost, and nobody knows what it did since. */
  | { type: "captured"; power: "On" | "Off"; adopted: boolean }
  /** Its own system is asked to shut down, or is found to have so much of its time left. */
  | { type: "askedToLeave"; mayObeyForMs: number }
  /** An `ensureOff`, or a look, found it off. */
  | { type: "wentOff" }
  /** The image's `ensureOff` left alone what runs. `mute`: because nothing at all was heard of it. */
  | { type: "leftAlone"; mute: boolean; at: number }
  /** The next boot is about to be set. */
  | { type: "arming"; attempt: number }
  /** The arming was refused before anything was written. */
  | { type: "armRefused"; attempt: number }
  /** The arming was read back. */
  | { type: "armed"; attempt: number }
  /** It is about to be powered on into the image, armed again. */
  | { type: "poweringOn"; attempt: number; at: number }
  /** The image said hello. */
  | { type: "hello"; attempt: number }
  /** Its own system was heard during a boot that made no contact; the word may be from before the power-on. */
  | { type: "homeAnswered"; attempt: number }
  /** A look found its own system. */
  | { type: "seenHome" }
  /** It rebooted by itself during the work. */
  | { type: "leftImage" }
  /** It is about to be powered on into its own system. */
  | { type: "sentHome" }
  /** Its own system had its whole time to come up, and gave no proof. */
  | { type: "proofMissed" }
  /** An attempt of the way home begins. */
  | { type: "triesHome" }
  /** A person had it looked at again, and may have done anything to it before. */
  | { type: "personActed" }
  /** A power action was told for the first time: of this session, or of a lost one. */
  | { type: "power"; action: PowerAction };

/** The state after the event. Pure; an event that says nothing of where the target is changes nothing. */
export function observe(state: TargetState, event: TargetEvent): TargetState {
  switch (event.type) {
    case "captured":
      if (event.adopted) return { is: "unknown", since: null };
      return event.power === "On" ? { is: "home" } : { is: "off" };
    case "askedToLeave":
      return { is: "leaving", mayObeyForMs: event.mayObeyForMs };
    case "wentOff":
      return { is: "off" };
    case "leftAlone":
      return { is: "unknown", since: event.mute ? event.at : sinceOf(state) };
    case "poweringOn":
      return { is: "booting", attempt: event.attempt, since: event.at, armed: "unseen" };
    case "armed":
      return state.is === "booting" && state.attempt === event.attempt ? { ...state, armed: "seen" } : state;
    case "hello":
      return { is: "image", attempt: event.attempt };
    case "seenHome":
      // A system that shuts down answers until its very end.
      return state.is === "leaving" ? state : { is: "home" };
    case "leftImage":
      return { is: "unknown", since: null };
    case "sentHome":
      return { is: "home" };
    case "proofMissed":
      return state.is === "unknown" && state.since !== null ? { is: "mute", since: state.since } : state;
    case "arming":
    case "armRefused":
    case "homeAnswered":
    case "triesHome":
    case "personActed":
    case "power":
      return state;
  }
}

/** Since when nothing is heard of it; null where something is, or nothing is expected. */
const sinceOf = (state: TargetState): number | null => ("since" in state ? state.since : null);

/** Whether its own system may be what runs, which is never forced off. */
const mayBeHome = ({ is }: TargetState): boolean => is === "home" || is === "leaving" || is === "unknown";

/** How what runs is brought to off, and why so. */
export type Leave =
  | { by: "nothing"; why: string }
  /** Disarmed under the system that runs. */
  | { by: "leaveAlone"; why: string }
  /** Its own system is asked to shut down. */
  | { by: "ask"; why: string }
  /** The image is left, by the plug where it does not go by itself. */
  | { by: "force"; why: string };

/** Whether what runs is its own system, or may be: by what a look found, and where that does not tell, by what is known. */
export const isOwnSystem = (state: TargetState, where: Whereabouts): boolean =>
  where === "home" || (where !== "image" && mayBeHome(state));

/** How the way home leaves what runs. `toBeOn`: the target was on when it left. */
export function leaveBy(state: TargetState, where: Whereabouts, toBeOn: boolean): Leave {
  if (where === "off") return { by: "nothing", why: "it is off" };
  if (!isOwnSystem(state, where)) return { by: "force", why: "leave the image" };
  // Started by somebody else, or by an override that did not hold.
  return toBeOn
    ? { by: "leaveAlone", why: "its own system runs, or may be on its way up" }
    : { by: "ask", why: "the target was off" };
}

/** How long after it was told to go on a machine that was off is still watched for: a BMC may obey late. */
const LATE_POWER_ON_MS = 30_000;
/** How long after its deadline a shutdown is still watched for: a system may obey late. */
export const LATE_POWER_OFF_MS = 30_000;

/** Until when a look that found this may be answered otherwise by the next one; milliseconds since 1970. */
export function mayChangeUntil(state: TargetState, where: Whereabouts, homeMs: number, lookedSince: number): number {
  const since = sinceOf(state) ?? 0;
  if (where === "unknown") return (mayBeHome(state) ? lookedSince : since) + homeMs;
  return where === "off" ? since + LATE_POWER_ON_MS : 0;
}

/** The target as a session sees it. */
export class ObservedTarget {
  state: TargetState = { is: "home" };
  private readonly facts: TargetEvent[] = [];

  observe(event: TargetEvent): void {
    this.state = observe(this.state, event);
    this.facts.push(event);
  }

  /** The number of the newest boot attempt; 0 before the first. Contacts of an earlier one are void. */
  get attempt(): number {
    return this.last("arming")?.attempt ?? 0;
  }

  /** What needs no look: the last thing that happened shows it. */
  get certain(): "off" | "image" | null {
    const last = this.facts.findLast(({ type }) => !SAYS_NOTHING.has(type));
    if (last?.type === "wentOff") return "off";
    return last?.type === "hello" ? "image" : null;
  }

  /** For how long nothing was heard of what runs where the image should, in milliseconds; null where something was. */
  get unseenMs(): number | null {
    const since = sinceOf(this.state);
    return since === null ? null : Date.now() - since;
  }

  get mayBeHome(): boolean {
    return mayBeHome(this.state);
  }

  /** An arming was asked for and not seen done: a BMC's reading may be older than it. */
  get hidesArming(): boolean {
    const asked = this.lastIndex("arming", "poweringOn");
    return asked >= 0 && this.lastIndex("armed", "armRefused") < asked;
  }

  /** A power-off was seen since anybody else may have acted: the next answer of its own system must be of a new boot. */
  get sawOff(): boolean {
    return this.lastIndex("wentOff") > this.lastIndex("personActed");
  }

  /** It waited for a person: either boot of its own system is home then. */
  get wasOutOfSight(): boolean {
    return this.lastIndex("personActed") >= 0;
  }

  /** This session, a lost one, or a run before a reset has done something to the power. */
  get movedPower(): boolean {
    return this.lastIndex("power") >= 0;
  }

  /** How often its own system was heard in this boot attempt. */
  homeAnswers(attempt: number): number {
    return this.facts.filter((fact) => fact.type === "homeAnswered" && fact.attempt === attempt).length;
  }

  /**
   * For how long its own system may still obey a shutdown, in milliseconds. Only a power-on that was needed shows that it had been off:
   * one reading may be wrong. A length that passes anew with each watch, because clocks may be set meanwhile.
   */
  mayObeyForMs(toBeOn: boolean, gracefulMs: number): number {
    const asked = this.lastIndex("askedToLeave");
    const over = Math.max(
      this.facts.findLastIndex(({ type, ...rest }) => type === "power" && isPowerOn(rest as { action: PowerAction })),
      // Of a target that is to be off nothing comes later that could show a wrong reading.
      toBeOn ? -1 : this.lastIndex("wentOff"),
    );
    const ms = asked > over ? (this.facts[asked] as { mayObeyForMs: number }).mayObeyForMs : 0;
    if (ms > 0 || this.sawOff || !this.shutdownWasLast) return ms;
    return gracefulMs + LATE_POWER_OFF_MS;
  }

  /** The newest thing done to the power is a shutdown, perhaps a lost session's. */
  private get shutdownWasLast(): boolean {
    const action = this.last("power")?.action;
    return action?.what === "GracefulShutdown" && action.result !== "refused";
  }

  private last<T extends TargetEvent["type"]>(type: T): Extract<TargetEvent, { type: T }> | undefined {
    return this.facts.findLast((fact) => fact.type === type) as Extract<TargetEvent, { type: T }> | undefined;
  }

  private lastIndex(...types: TargetEvent["type"][]): number {
    return this.facts.findLastIndex(({ type }) => types.includes(type));
  }
}

const isPowerOn = ({ action }: { action: PowerAction }): boolean => action.what === "On" && action.result === "done";

/** Heard beside the main line; they leave what it knows as certain as it was. */
const SAYS_NOTHING = new Set<TargetEvent["type"]>(["power", "homeAnswered", "armed", "armRefused", "arming"]);
