import type { Quirk } from "./quirk.js";

export const hpePost: Quirk = {
  name: "hpe-post",
  vendor: "HPE",
  firmware: "iLO 5, iLO 6",
  symptom: "No boot setting can be changed while the system is in POST; it can a little later.",
  source: "HPE iLO RESTful API, message iLO.2.UnableToModifyDuringSystemPOST",
  where: { maker: /^(hpe?|hewlett)/i, version: /^iLO [56]\b/i },
  dialect: { notNowMessages: ["UnableToModifyDuringSystemPOST"] },
};
