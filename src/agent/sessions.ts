import type { DoneRequest, HelloRequest, SessionMessage } from "../domain/agent.js";
import type { SessionPlan, TaskResult } from "../domain/session.js";
import type { BootSnapshot } from "../domain/snapshot.js";

/** One boot of a target into its image, as the gateway sees it. */
export interface AgentBoot {
  epoch: number;
  wasOff: boolean;
  nonces: { nonce: string; mintedAt: string }[];
  mediaSegment: string;
  scriptFetchedAt: string | null;
  kernelFetchedAt: string | null;
  initrdFetchedAt: string | null;
  bootId: string | null;
  spentNonce: string | null;
  helloAt: string | null;
  revoked: boolean;
  done: DoneRequest | null;
}

/** A target's open session: the site's journal entry. The gateway changes it in place and then saves it. */
export interface AgentEntry {
  target: string;
  session: string;
  plan: SessionPlan;
  snapshot: BootSnapshot | null;
  absoluteDeadline: string;
  boot: AgentBoot | null;
  results: Record<string, TaskResult>;
  ledger: {
    outbox: SessionMessage[];
    offered: Record<string, string>;
    leaseUntil: string | null;
    withdrawnAt: string | null;
    lastEpoch: number;
  };
}

/** Where the gateway finds the open sessions, and how it makes what it changed durable. */
export interface AgentSessions<E extends AgentEntry = AgentEntry> {
  get(target: string): E | null;
  all(): E[];
  /** The entry that minted this nonce in its present arming, compared in constant time. */
  byNonce(nonce: string): E | null;
  /** Resolves when this state of the entry, or a later one, is fsynced. */
  save(entry: E): Promise<void>;
}

/** What the gateway tells a session. Errors mean «try again», except `PitstopError("notFound")`: the session is no more. */
export interface AgentLink<E extends AgentEntry = AgentEntry> {
  hello(entry: E, request: HelloRequest): Promise<void>;
  done(entry: E, request: DoneRequest, results: TaskResult[]): Promise<void>;
  rebooted(entry: E, bootId: string, how: string): Promise<void>;
  isAlive(entry: E): Promise<boolean>;
  progress(entry: E, event: AgentEvent): void;
}

export type AgentEvent =
  | { what: "hello" | "lost" }
  | { what: "task"; task: string; message: string; percent: number | null }
  | { what: "log"; task: string; bytes: number };

/** Bytes by digest, as far as the gateway needs them. */
export interface AgentObjects {
  put(bytes: Uint8Array): Promise<string>;
  get(sha256: string): Promise<Uint8Array>;
}

/** Tests bring their own. Milliseconds since 1970. */
export type Clock = () => number;
