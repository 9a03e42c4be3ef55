/** A power event that reached the machine, or that the machine made by itself; `lost`: a Reset that was accepted and forgotten. */
export interface PowerEvent {
  at: string;
  what: "start" | "kill" | "button" | "nmi" | "guest-off" | "guest-reset" | "start-failed" | "lost";
  why: string;
  /** For `start`: what the machine was told to boot. */
  boot?: string;
}

/** Longer than any rehearsal; older events are dropped, counters are not. */
const MAX_EVENTS = 10_000;

/** What reached one machine and its BMC: the lab's own truth, for tests and the bench. */
export class Journal {
  readonly #events: PowerEvent[] = [];
  readonly #counts = new Map<string, number>();
  readonly #last = new Map<string, string>();
  readonly #media: { at: string; url: string; bytes: number }[] = [];
  readonly #tell: (what: string) => void;
  #total = 0;
  #powerPolls = 0;

  /** `tell` gets a line for each power event and each answer, as they happen. */
  constructor(tell: (what: string) => void = () => {}) {
    this.#tell = tell;
  }

  power(what: PowerEvent["what"], why: string, boot?: string): void {
    this.#events.push({ at: new Date().toISOString(), what, why, ...(boot === undefined ? {} : { boot }) });
    if (this.#events.length > MAX_EVENTS) this.#events.shift();
    this.#tell(`power ${what}${boot === undefined ? "" : ` ${boot}`} (${why})`);
  }

  /** `status` null: the connection was closed without an answer. */
  answered(method: string, path: string, status: number | null): void {
    this.#tell(`${method} ${path} ${status ?? "dropped"}`);
  }

  /**
   * Counts a request. A power poll is a GET of the system right after another one, or after a Reset, by the same
   * client: that is how clients wait for a power state.
   */
  request(method: string, path: string, client: string): void {
    const key = `${method} ${pathClass(path)}`;
    this.#total += 1;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    const before = this.#last.get(client);
    if (key === "GET system" && (before === "GET system" || before === "POST reset")) this.#powerPolls += 1;
    if (this.#last.size > 256) this.#last.clear();
    this.#last.set(client, key);
  }

  /** A virtual medium was fetched whole. */
  fetchedMedium(url: string, bytes: number): void {
    this.#media.push({ at: new Date().toISOString(), url, bytes });
    if (this.#media.length > MAX_EVENTS) this.#media.shift();
  }

  get media(): readonly { at: string; url: string; bytes: number }[] {
    return this.#media;
  }

  get events(): readonly PowerEvent[] {
    return this.#events;
  }

  /** Requests by `METHOD class`, for example `GET system`, `PATCH system`, `POST reset`. */
  get requests(): { total: number; powerPolls: number; byClass: Record<string, number> } {
    return { total: this.#total, powerPolls: this.#powerPolls, byClass: Object.fromEntries(this.#counts) };
  }

  /** Forgets everything, so that a test or a bench counts from here. */
  clear(): void {
    this.#events.length = 0;
    this.#media.length = 0;
    this.#counts.clear();
    this.#last.clear();
    this.#total = 0;
    this.#powerPolls = 0;
  }
}

const CLASSES: readonly (readonly [RegExp, string])[] = [
  [/^\/redfish(\/v1)?$/, "root"],
  [/\/SessionService/, "session"],
  [/\/Actions\/ComputerSystem\.Reset$/, "reset"],
  [/\/VirtualMedia/, "media"],
  [/\/BootOptions/, "boot-options"],
  [/^\/redfish\/v1\/Systems$/, "systems"],
  [/^\/redfish\/v1\/Systems\/[^/]+(\/Settings)?$/, "system"],
  [/^\/redfish\/v1\/Systems\//, "system-part"],
  [/^\/redfish\/v1\/Managers/, "manager"],
];

function pathClass(path: string): string {
  return CLASSES.find(([pattern]) => pattern.test(path))?.[1] ?? "other";
}
