import type { SessionSummary } from "./session.js";
import type { BootSnapshot } from "./snapshot.js";

/**
 * What Temporal says of a session.
 *
 * | `is` | what happened | its target |
 * |---|---|---|
 * | `running` | it is open | is the session's |
 * | `ended` | it went through its own end | is home, or was released |
 * | `lost` | it was ended from outside, or is not known at all | may be anywhere |
 *
 * The summary of `ended` has the ending alone where the session was ended from outside after its target was home. `how` goes on
 * after "the session".
 */
export type SessionState =
  | { is: "running" }
  | { is: "ended"; summary: Pick<SessionSummary, "ending"> & Partial<SessionSummary> }
  | { is: "lost"; how: string };

/** What a reconciler asks Temporal, and starts there. Each method throws when Temporal cannot be asked: no answer is no loss. */
export interface SessionStates {
  /** Targets that a session holds now. It may lag by some seconds: ask {@link of} about a target that is not in it. */
  held(): Promise<Set<string>>;
  of(target: string, session: string): Promise<SessionState>;
  /**
   * Starts `maintenanceSession` in its restore-only form. `kept` is for a catalogue that has lost the snapshot. Returns
   * the session's id, null when a session holds the target already.
   */
  bringHome(target: string, kept: BootSnapshot | null): Promise<string | null>;
}
