import type { Quirk } from "./quirk.js";

export const lenovoParentFirst: Quirk = {
  name: "lenovo-parent-first",
  vendor: "Lenovo",
  firmware: "XCC, XCC2",
  symptom: "A boot resource is 404 until its parent collection has been read.",
  source: "dsx-ai-factory/libredfish#127",
  where: { maker: /lenovo/i },
  dialect: { parentFirst: true },
};
