import type { Armed, Capabilities } from "../control/control.js";
import { PitstopError } from "../domain/errors.js";
import type { Image, ImageForm } from "../domain/image.js";
import type { BootDiagnosis } from "../domain/session.js";
import type { BootVia, Target } from "../domain/target.js";

/** Where the control sends the target. `mediaUrl` is null unless the way publishes a medium. */
export interface BootUrls {
  httpBootUri: string;
  scriptUrl: string;
  mediaUrl: string | null;
}

/** What is known of the path between a target's BMC and its site. Null where nobody has looked yet: the grade supposes the best. */
export interface PathFacts {
  /** Where the site serves its media for BMCs. */
  bmcUrl: string | null;
  /** Whether the BMC checks the certificate of the server that its medium is from. */
  bmcVerifies: boolean | null;
}

/** A grade. `why` has the target as its subject and tells why the way is not sealed; `remedy` is what a person can do about that. */
export type Graded = { grade: "sealed" } | { grade: "lan"; why: string; remedy: string };

export interface ArmOrder {
  target: Target;
  urls: BootUrls;
  /** Refuses a BMC that does not check the medium's server. */
  verify: boolean;
}

/** An arming that was read back, with what it showed of the path. */
export interface ArmedWay extends Pick<Armed, "notes"> {
  bmcVerifies: boolean | null;
}

/** What a missed contact showed. */
export type Seen = Omit<BootDiagnosis, "via" | "summary">;

/** How a boot image reaches a target. Each way is one file, and `ways.ts` lists them. */
export interface Way {
  readonly via: BootVia;
  /** The forms of images that it boots. */
  readonly forms: readonly ImageForm[];
  /** What the site serves for it: a boot script for a machine that names itself as the target, or a medium for its BMC. */
  readonly publishes: "script" | "medium";
  /** A sentence that tells why the target or its image does not fit; null where both do. Their forms are compared elsewhere. */
  misfit(target: Target, image: Image): string | null;
  grade(target: Target, facts: PathFacts): Graded;
  /** Ensures that the target's next boot is by this way. Errors: those of `NextBoot.arm` and `Media.insert`. */
  arm(can: Capabilities, order: ArmOrder): Promise<ArmedWay>;
  /** One sentence that tells where to look, after a boot without a contact. */
  diagnose(seen: Seen): string;
}

/** Why the action may not boot by a way of this grade; null where it may. */
export function refusalOf(
  graded: Graded,
  action: { name: string; destructive: boolean } | null,
  target: Target,
): PitstopError | null {
  if (graded.grade === "sealed" || action?.destructive !== true || allowsLan(target)) return null;
  return new PitstopError(
    "refused",
    `${action.name} is destructive and ${target.name} ${graded.why}; ${graded.remedy}, or let its owner add "destructive-over-lan" to boot.allow.`,
  );
}

/** The owner's leave to go by a less safe way. */
export const allowsLan = ({ boot }: Target): boolean => boot.allow.includes("destructive-over-lan");
