import { z } from "zod";
import { DoneRequest, SessionMessage } from "../domain/agent.js";
import { Name } from "../domain/basics.js";
import { PlannedWay, PowerAction, SitePlan, TaskResult } from "../domain/session.js";
import { BootSnapshot } from "../domain/snapshot.js";

/** Raised whenever an entry that this build writes could not be read by the release before it. */
export const ENTRY_VERSION = 1;

const Extent = z.object({ offset: z.number().int().min(0), bytes: z.number().int().min(1) });

export const MintedNonce = z.object({
  nonce: z.string(),
  mintedAt: z.string(),
  /** The address that fetched the script. The nonce of a medium has none. */
  from: z.string().optional(),
});
export type MintedNonce = z.infer<typeof MintedNonce>;

/** The ISO of an image, and where its parts lie in it. */
export const ImageMedium = z.object({
  /** Digest of the ISO in the site's cache. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  /** Zeros, over which the session's archive is laid while the medium is served. */
  slot: Extent,
  /** How far these two were read shows how far a boot came. */
  kernel: Extent,
  lastInitrd: Extent,
});
export type ImageMedium = z.infer<typeof ImageMedium>;

/** The medium of one arming, by which the target boots without its network. Its bytes stay the same while it is published. */
export const SiteMedium = ImageMedium.extend({
  /** The session's archive, base64. */
  archive: z.string(),
});
export type SiteMedium = z.infer<typeof SiteMedium>;

export const SiteBoot = z.object({
  /** Which arming this is: 1, 2, … Contacts of an earlier one are void. */
  epoch: z.number().int().min(1),
  /** The way of this arming: it decides what the target is served. */
  way: PlannedWay,
  wasOff: z.boolean(),
  /** Nonces minted for this epoch, newest last; at most 16. Files below them may be fetched until the hello. */
  nonces: z.array(MintedNonce),
  /** Unguessable path segment of media URLs. */
  mediaSegment: z.string(),
  /** Null unless the way publishes a medium. */
  medium: SiteMedium.nullable(),
  /** ISO 8601, each of the three. Of a medium: its first byte, the last of the kernel, the last of the last initrd. */
  scriptFetchedAt: z.string().nullable(),
  kernelFetchedAt: z.string().nullable(),
  initrdFetchedAt: z.string().nullable(),
  /** Set by the hello; a hello with another boot id revokes. */
  bootId: z.string().nullable(),
  spentNonce: z.string().nullable(),
  helloAt: z.string().nullable(),
  revoked: z.boolean(),
  done: DoneRequest.nullable(),
});
export type SiteBoot = z.infer<typeof SiteBoot>;

/** What the site itself must not forget about an entry when its process dies. */
export const SiteLedger = z.object({
  /** Messages that the session has not yet acknowledged, oldest first; at most 16. */
  outbox: z.array(SessionMessage),
  /** Names of the tasks that were offered, by task id. */
  offered: z.record(z.string(), z.string()),
  /** ISO 8601: until then the agent may go on. Moved only when the session was confirmed alive. */
  leaseUntil: z.string().nullable(),
  /** ISO 8601 of the last `withdraw`; null while none followed the last `publish`. */
  withdrawnAt: z.string().nullable(),
  /**
   * ISO 8601: when the target's own system answered while the target was away. Null again once the target was seen off, or an
   * image has said hello. Until then that system may be what runs, even where it answers no longer.
   */
  ownSystemSeenAt: z.string().nullable(),
  /** Nonces of armings that are over, newest last; at most 16. An image that comes with one is sent home at once. */
  voided: z.array(z.string()),
  /** The highest arming seen: a late attempt of an earlier one is refused. */
  lastEpoch: z.number().int(),
  /** What was done to the target's power since its snapshot, each noted before it was asked for; oldest first, at most 64. */
  powerActions: z.array(PowerAction),
});
export type SiteLedger = z.infer<typeof SiteLedger>;

/**
 * What a site remembers of one target while a session is open on it: one fsynced JSON file of the journal.
 * The session rebuilds a lost entry, because each activity carries its whole plan.
 */
export const SiteEntry = z.object({
  version: z.literal(ENTRY_VERSION),
  target: Name,
  session: z.string(),
  runId: z.string(),
  plan: SitePlan,
  /** Never replaced while it is there (promise 2). */
  snapshot: BootSnapshot.nullable(),
  /** ISO 8601. After it the site serves home, whatever else it remembers. A text that is no time would never pass. */
  absoluteDeadline: z.string().refine((text) => !Number.isNaN(Date.parse(text)), "not a time"),
  /** Present from `publish` to `withdraw`: the target is served the session's script. */
  boot: SiteBoot.nullable(),
  /** Results by task id, kept until the entry is closed: a task that is offered again gets its result at once. */
  results: z.record(z.string(), TaskResult),
  ledger: SiteLedger,
});
export type SiteEntry = z.infer<typeof SiteEntry>;

/** When the session is over, by a clock of the site: ISO 8601. */
export const endOf = ({ now }: SitePlan, nowMs: number): string => new Date(nowMs + now.leftMs).toISOString();

/** An entry of a session that has done nothing yet. */
export const freshEntry = (plan: SitePlan, runId: string, nowMs = Date.now()): SiteEntry => ({
  version: ENTRY_VERSION,
  target: plan.target.name,
  session: plan.session,
  runId,
  plan,
  snapshot: null,
  absoluteDeadline: endOf(plan, nowMs),
  boot: null,
  results: {},
  ledger: {
    outbox: [],
    offered: {},
    leaseUntil: null,
    withdrawnAt: null,
    ownSystemSeenAt: null,
    voided: [],
    lastEpoch: 0,
    powerActions: [],
  },
});

/** An arming before its first contact. */
export const freshBoot = (epoch: number, way: PlannedWay, wasOff: boolean, mediaSegment: string): SiteBoot => ({
  epoch,
  way,
  wasOff,
  nonces: [],
  mediaSegment,
  medium: null,
  scriptFetchedAt: null,
  kernelFetchedAt: null,
  initrdFetchedAt: null,
  bootId: null,
  spentNonce: null,
  helloAt: null,
  revoked: false,
  done: null,
});
