import type { Quirk } from "./quirk.js";

export const supermicroPlainUrls: Quirk = {
  name: "supermicro-plain-urls",
  vendor: "Supermicro",
  firmware: "X12",
  symptom: "A medium's address with ? or = is refused.",
  source: "Reports of operators; no public thread known",
  where: { maker: /supermicro/i },
  dialect: { mediaUrlWithout: "?=" },
};
