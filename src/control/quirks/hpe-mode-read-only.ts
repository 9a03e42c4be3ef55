import type { Quirk } from "./quirk.js";

export const hpeModeReadOnly: Quirk = {
  name: "hpe-mode-read-only",
  vendor: "HPE",
  firmware: "iLO 5",
  symptom: "BootSourceOverrideMode cannot be written: a PATCH that carries it, even unchanged, is answered with 400.",
  source: "ansible-collections/community.general#3509",
  where: { maker: /^(hpe?|hewlett)/i, version: /^iLO 5\b/i },
  dialect: { overrideMode: "read-only" },
};
