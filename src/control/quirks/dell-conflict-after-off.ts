import type { Quirk } from "./quirk.js";

export const dellConflictAfterOff: Quirk = {
  name: "dell-conflict-after-off",
  vendor: "Dell",
  firmware: "iDRAC 10 (version 1)",
  symptom: "A power-on right after a power-off is answered with 409 for some seconds.",
  source: "Reports of operators; no public thread known",
  where: { maker: /dell/i, version: /^1\./ },
  dialect: { notNowConflict: true },
};
