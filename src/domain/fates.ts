import type { SessionSummary } from "./session.js";
import type { BootSnapshot } from "./snapshot.js";

/**
 * What became of a session, by Temporal's word. `ended`: it went through its own end, so its target is home or was
 * released; its summary has no more than the ending where it was ended from outside after that. `lost`: it was ended from outside, or is not known at all; its target may be anywhere. `how` goes on after
 * «the session».
 */
export type Fate =
  | { is: "running" }
  | { is: "ended"; summary: Pick<SessionSummary, "ending"> & Partial<SessionSummary> }
  | { is: "lost"; how: string };

/** Whom a reconciler asks of sessions. All of it throws when Temporal cannot be asked: nothing is lost then. */
export interface SessionFates {
  /** Targets that a session holds now. It may lag by some seconds: who is not in it is asked for by `of`. */
  held(): Promise<Set<string>>;
  of(target: string, session: string): Promise<Fate>;
  /**
   * Starts `maintenanceSession` in its restore-only form. `kept` is for a catalogue that has lost the snapshot. Returns
   * the session's id, null when a session holds the target already.
   */
  bringHome(target: string, kept: BootSnapshot | null): Promise<string | null>;
}
