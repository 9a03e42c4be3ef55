import type { SiteEntry } from "../boot/site.js";

/** Where the gateway finds the open sessions, and how it makes what it changed in place durable. */
export interface AgentSessions {
  get(target: string): SiteEntry | null;
  all(): SiteEntry[];
  /** The entry that minted this nonce in its present arming, compared in constant time. */
  byNonce(nonce: string): SiteEntry | null;
  /** Whether an earlier arming of an open session minted it, or one that was withdrawn. */
  isVoided(nonce: string): boolean;
  /** Resolves when this state of the entry, or a later one, is fsynced. */
  save(entry: SiteEntry): Promise<void>;
}

/** Bytes by digest, as far as the gateway needs them. */
export interface AgentObjects {
  put(bytes: Uint8Array): Promise<string>;
  get(sha256: string): Promise<Uint8Array>;
}

/** Tests bring their own. Milliseconds since 1970. */
export type Clock = () => number;
