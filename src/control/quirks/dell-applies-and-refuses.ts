import type { Quirk } from "./quirk.js";

export const dellAppliesAndRefuses: Quirk = {
  name: "dell-applies-and-refuses",
  vendor: "Dell",
  firmware: "13th generation, iDRAC 8 (version 2)",
  symptom: "The override is set, and yet the answer is 400 (or 200 with the error in its body).",
  source: "ansible-collections/community.general#5091",
  where: { maker: /dell/i, version: /^2\./ },
  dialect: { refusal: "read-back-decides" },
};
