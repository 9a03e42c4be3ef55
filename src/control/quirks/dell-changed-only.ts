import type { Quirk } from "./quirk.js";

export const dellChangedOnly: Quirk = {
  name: "dell-changed-only",
  vendor: "Dell",
  firmware: "iDRAC 8 and 9 (versions 2 to 7)",
  symptom:
    "A PATCH that repeats an unchanged Enabled or mode is refused as depending on other attributes (SYS444, SYS410).",
  source: "ansible-collections/community.general#5091",
  where: { maker: /dell/i, version: /^[2-7]\./ },
  dialect: { overrideProperties: "changed" },
};
