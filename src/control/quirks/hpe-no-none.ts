import type { Quirk } from "./quirk.js";

export const hpeNoNone: Quirk = {
  name: "hpe-no-none",
  vendor: "HPE",
  firmware: "iLO 5, iLO 6",
  symptom: "The target None is refused, also in a PATCH that disables the override; whatever target is there may stay.",
  source: "ironcore-dev/metal-operator#998",
  where: { maker: /^(hpe?|hewlett)/i, version: /^iLO [56]\b/i },
  dialect: { disarmTarget: "as-it-is" },
};
