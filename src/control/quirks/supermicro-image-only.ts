import type { Quirk } from "./quirk.js";

export const supermicroImageOnly: Quirk = {
  name: "supermicro-image-only",
  vendor: "Supermicro",
  firmware: "X11, X12",
  symptom: "InsertMedia is refused when it carries Inserted or WriteProtected.",
  source: "openstack/sushy sushy/resources/manager/virtual_media.py",
  where: { maker: /supermicro/i },
  dialect: { insertBody: "image-only" },
};
