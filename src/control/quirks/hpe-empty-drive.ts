import type { Quirk } from "./quirk.js";

export const hpeEmptyDrive: Quirk = {
  name: "hpe-empty-drive",
  vendor: "HPE",
  firmware: "iLO 5",
  symptom: "Ejecting an empty drive is answered with an error.",
  source: "openstack/sushy sushy/resources/manager/virtual_media.py",
  where: { maker: /^(hpe?|hewlett)/i, version: /^iLO 5\b/i },
  dialect: { ejectEmptyDrive: "fails" },
};
