import type { Seen } from "./match.js";

/** What a fault does with a request before the service sees it. `done`: the request takes effect all the same. */
export type Interception =
  | { answer: number; done: boolean; quotes?: boolean; retryAfterSeconds?: number }
  /** The socket is closed without an answer. */
  | { drop: true; done: boolean };

export type JsonObject = Record<string, unknown>;

/** The places at which a BMC can go wrong. A fault implements those that it needs. */
export interface Fault {
  /** How long this request waits before anything is done with it. */
  delaysMs?(seen: Seen): number;
  intercept?(seen: Seen): Promise<Interception | null>;
  /** What a client gets to see instead of the truth. `path` is the resource's. */
  show?(path: string, body: JsonObject): JsonObject;
  /** The ETag that is shown, and whether it is accepted in If-Match. */
  etag?: { show(strong: string): string | null; accepts(given: string, strong: string): boolean };
  /** The firmware does not look at an override that is armed. `kept`: nor does it spend it. */
  ignoresOverride?(): "spent" | "kept" | null;
  /** A Reset is accepted and nothing happens. */
  losesReset?(type: string): boolean;
  /** Whether all sessions end before this request. */
  endsSessions?(seen: Seen): boolean;
  /** Changes of Boot go to a Settings resource, and the system itself refuses them. */
  bootInSettings?: true;
  /** `Once` is no value of BootSourceOverrideEnabled. */
  knowsNoOnce?: true;
}
