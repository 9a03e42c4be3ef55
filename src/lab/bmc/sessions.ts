import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { refuse } from "./messages.js";

/** Real BMCs hold between 8 and 64. */
const MAX_SESSIONS = 64;

export interface BmcSession {
  id: string;
  userName: string;
  createdAt: string;
  usedAtMs: number;
}

export interface Login {
  userName: string;
  password: string;
}

/** Redfish sessions (DSP0266 section 13.3), each ended by being idle too long. They do not survive the BMC. */
export class Sessions {
  readonly #login: Login;
  readonly #timeoutSeconds: () => number;
  /** By the token's digest: looking a token up must not tell how much of it was right. */
  readonly #byToken = new Map<string, BmcSession>();
  #next = 1;

  constructor(login: Login, timeoutSeconds: () => number) {
    this.#login = login;
    this.#timeoutSeconds = timeoutSeconds;
  }

  /** 401 for a wrong pair, 503 when there are too many sessions. */
  open(userName: string, password: string): { session: BmcSession; token: string } {
    this.#expire();
    if (!this.accepts(userName, password)) throw refuse(401, "NoValidSession");
    if (this.#byToken.size >= MAX_SESSIONS) throw refuse(503, "SessionLimitExceeded");
    const token = randomBytes(24).toString("base64url");
    const session = {
      id: String(this.#next++),
      userName,
      createdAt: new Date().toISOString(),
      usedAtMs: performance.now(),
    };
    this.#byToken.set(digest(token), session);
    return { session, token };
  }

  /** The session of a token, which is then no longer idle; null when there is none. */
  use(token: string): BmcSession | null {
    this.#expire();
    const session = this.#byToken.get(digest(token));
    if (!session) return null;
    session.usedAtMs = performance.now();
    return session;
  }

  accepts(userName: string, password: string): boolean {
    const user = timingSafeEqual(sha256(userName), sha256(this.#login.userName));
    return timingSafeEqual(sha256(password), sha256(this.#login.password)) && user;
  }

  list(): BmcSession[] {
    this.#expire();
    return [...this.#byToken.values()];
  }

  close(id: string): void {
    for (const [key, session] of this.#byToken) if (session.id === id) this.#byToken.delete(key);
  }

  closeAll(): void {
    this.#byToken.clear();
  }

  #expire(): void {
    const oldest = performance.now() - this.#timeoutSeconds() * 1000;
    for (const [key, session] of this.#byToken) if (session.usedAtMs < oldest) this.#byToken.delete(key);
  }
}

const sha256 = (text: string): Buffer => createHash("sha256").update(text).digest();
const digest = (text: string): string => sha256(text).toString("base64");
