import type { PowerAction } from "../../src/domain/session.js";

/** A line of the lab's log about the power of one machine. */
export interface PowerEvent {
  at: string;
  what: string;
  /** The ResetType that caused it; null where the machine, or somebody else, did it. */
  reset: string | null;
}

export interface PowerLog {
  events: PowerEvent[];
  /** Resets that the BMC accepted, whether its answer arrived or was dropped. */
  accepted: number;
}

const EVENT = /^(\S+) \S+ power (\S+)(?: \S+)? \((.*)\)$/;
const RESET = /^\S+ \S+ POST \S+\/Actions\/ComputerSystem\.Reset (2\d\d|dropped)$/;

/** What the lab's log says of a machine's power; `lines` are those of one machine. `strange`: resets that somebody else asked for. */
export function powerLog(lines: string[], strange: (reset: string) => boolean = () => false): PowerLog {
  const events = lines.flatMap((line) => {
    const [, at, what, why] = EVENT.exec(line) ?? [];
    if (at === undefined || what === undefined || why === undefined) return [];
    const reset = why.startsWith("Reset ") ? why.slice("Reset ".length) : null;
    return [{ at, what, reset: reset === null || strange(reset) ? null : reset }];
  });
  return { events, accepted: lines.filter((line) => RESET.test(line)).length };
}

/** The lab's event where a Reset was accepted and nothing came of it. */
const LOST = "lost";

/** What each power action that is ours does to a machine that is not yet so, and where it is then. */
const EFFECTS: Record<string, { event: string; power: "On" | "Off" | null }> = {
  On: { event: "start", power: "On" },
  ForceOff: { event: "kill", power: "Off" },
  // Asked for kindly: the system obeys, or does not.
  GracefulShutdown: { event: "button", power: null },
};

/**
 * The records' power actions against the BMC's own log, both ways. Each event that a Reset caused needs an action of its own
 * from before it; each action that the BMC took needs its event, unless the machine was so already; and no more actions were
 * taken than the BMC accepted.
 */
export function powerComplaints(before: "On" | "Off", log: PowerLog, actions: PowerAction[]): string[] {
  const complaints: string[] = [];
  const left = actions
    // Nobody knows whether a lost one was done, nor a refused one: some BMCs do it all the same.
    .map(({ at, what, result }) => ({ at, what, answered: result === "done" }))
    .sort((a, b) => (a.at < b.at ? -1 : 1));
  const answered = left.filter((action) => action.answered).length;
  if (answered > log.accepted) {
    complaints.push(`The records tell of ${answered} power actions, and the BMC accepted ${log.accepted}.`);
  }
  for (const event of log.events.filter(({ reset }) => reset !== null)) {
    const mine = (action: { at: string; what: string }) => action.what === event.reset && action.at <= event.at;
    // The newest that fits: an older one may have found the machine as it wanted it.
    const fits = (action: { what: string }) => event.what === LOST || EFFECTS[action.what]?.event === event.what;
    const found = left.findLastIndex((action) => mine(action) && fits(action));
    if (found < 0) complaints.push(`No record explains the ${event.what} by Reset ${event.reset} at ${event.at}.`);
    else left.splice(found, 1);
  }
  for (const action of left.filter((one) => one.answered)) {
    if (!wasSoAlready(before, log.events, action)) {
      complaints.push(`The BMC knows nothing of the ${action.what} at ${action.at} that it took.`);
    }
  }
  return complaints;
}

/** Whether the machine was, or came by itself, where the action wanted it, so that it did nothing. */
function wasSoAlready(before: "On" | "Off", events: PowerEvent[], action: { at: string; what: string }): boolean {
  const effect = EFFECTS[action.what];
  if (!effect) return false;
  const wanted = effect.power ?? "Off";
  const earlier = events.filter((event) => event.at <= action.at);
  const next = events.find((event) => event.at > action.at && powerAfter(event) !== null);
  const power = earlier.map(powerAfter).findLast((one) => one !== null) ?? before;
  return power === wanted || (next !== undefined && powerAfter(next) === wanted);
}

function powerAfter({ what }: PowerEvent): "On" | "Off" | null {
  if (what === "start") return "On";
  return what === "kill" || what === "guest-off" ? "Off" : null;
}
