import { claimedIdentity, diagnoseNetworkBoot } from "./network.js";
import { armNextBoot } from "./network-first.js";
import type { Way } from "./way.js";

/** The firmware fetches iPXE from the URI in its override (DSP0268 HttpBootUri), and iPXE asks the site for the boot script. */
export const uefiHttp: Way = {
  via: "uefi-http",
  forms: ["linux"],
  publishes: "script",
  misfit: ({ name, boot }) =>
    boot.firmware === "uefi" ? null : `${name} has a BIOS, and uefi-http needs UEFI; give another way in boot.via.`,
  grade: () => claimedIdentity("uefi-http"),
  async arm(can, { target, urls }) {
    const { notes } = await armNextBoot(can, target, { via: "uefi-http", uri: urls.httpBootUri });
    return { notes, bmcVerifies: null };
  },
  diagnose: diagnoseNetworkBoot,
};
