import { PitstopError } from "../domain/errors.js";
import { armNextBoot } from "./network-first.js";
import type { Graded, PathFacts, Seen, Way } from "./way.js";

/** The BMC fetches an ISO from the site and shows it as a CD. Nothing of the target's own network is trusted. */
export const virtualMedia: Way = {
  via: "virtual-media",
  forms: ["linux"],
  publishes: "medium",
  misfit: ({ name }, image) =>
    image.arch === "x86_64"
      ? null
      : `Media are made for x86_64 only, and ${image.name} is for ${image.arch}; give another way in boot.via of ${name}.`,
  grade,
  async arm(can, { target, urls, verify }) {
    if (can.media === null) {
      throw new PitstopError(
        "refused",
        `${target.name}'s control has no virtual media; give pxe or uefi-http in boot.via.`,
      );
    }
    if (urls.mediaUrl === null) throw new TypeError("virtual-media is armed with the address of its medium");
    // First the medium, then the override: a BMC may refuse to boot an empty drive.
    const { verified } = await can.media.insert(urls.mediaUrl, { verify });
    const { notes } = await armNextBoot(can, target, { via: "virtual-media" });
    return { notes, bmcVerifies: verified };
  },
  diagnose,
};

/** Everybody on the network of a BMC can read, or replace, a medium that comes in the clear or from a server that nobody checks. */
function grade(_target: unknown, { bmcUrl, bmcVerifies }: PathFacts): Graded {
  if (bmcUrl !== null && !bmcUrl.startsWith("https:")) {
    return {
      grade: "lan",
      why: `gets its medium in the clear, from PITSTOP_SITE_BMC_URL (${bmcUrl})`,
      remedy: "make it https",
    };
  }
  if (bmcVerifies === false) {
    return {
      grade: "lan",
      why: "has a BMC that does not verify the server that its medium is from",
      remedy: "give its BMC the site's CA, and let it verify",
    };
  }
  return { grade: "sealed" };
}

/**
 * What of the medium was read shows how far the boot came. A BMC that streams has read what the firmware has read. One that copies the
 * medium when it is inserted has read all of it, whatever the firmware did.
 */
function diagnose(seen: Seen): string {
  if (seen.power === "Off") return "it is off; it was turned off, or turned itself off, during the boot.";
  if (seen.homeAnswering) {
    return "its own system runs; the boot override was ignored, or the virtual CD did not boot and the machine was reset; look at its console.";
  }
  if (!seen.scriptFetched) {
    return "its BMC never read the medium; look at whether it reaches PITSTOP_SITE_BMC_URL and trusts its certificate.";
  }
  if (!seen.initrdFetched) {
    return "its BMC read the medium, but not to the end of the image; look at its console, and at how fast the BMC reads.";
  }
  return "its BMC read the whole medium, but the image's agent did not call; look at its console, and whether it reaches the TLS listener.";
}
