import type { SessionState, SessionStates } from "../../src/domain/session-states.js";
import type { BootSnapshot } from "../../src/domain/snapshot.js";

/** Temporal, as far as a reconciler asks it. */
export class KnownStates implements SessionStates {
  readonly running = new Set<string>();
  readonly known = new Map<string, SessionState>();
  readonly starts: { target: string; kept: BootSnapshot | null }[] = [];
  onAsk: () => void = () => undefined;
  away = false;
  async held() {
    if (this.away) throw new Error("Temporal does not answer");
    return this.running;
  }
  async of(_target: string, session: string): Promise<SessionState> {
    this.onAsk();
    return this.known.get(session) ?? { is: "lost", how: "is not known" };
  }
  async bringHome(target: string, kept: BootSnapshot | null) {
    this.starts.push({ target, kept });
    return `restore-${this.starts.length}`;
  }
}
