import { claimedIdentity, diagnoseNetworkBoot } from "./network.js";
import { armNextBoot } from "./network-first.js";
import type { Way } from "./way.js";

/** DHCP names iPXE, which asks the site for the session's boot script. */
export const pxe: Way = {
  via: "pxe",
  forms: ["linux"],
  publishes: "script",
  misfit: () => null,
  grade: () => claimedIdentity("pxe"),
  async arm(can, { target }) {
    const { notes } = await armNextBoot(can, target, { via: "pxe" });
    return { notes, bmcVerifies: null };
  },
  diagnose: diagnoseNetworkBoot,
};
