import type { Quirk } from "./quirk.js";

export const supermicroFullOverride: Quirk = {
  name: "supermicro-full-override",
  vendor: "Supermicro",
  firmware: "X11 to H13 BMCs",
  symptom:
    "Enabled must be sent every time, and a mode that is not sent falls back to its default; the target stays behind when disabled.",
  source: "DMTF/Redfishtool#106",
  where: { maker: /supermicro/i },
  dialect: { overrideProperties: "all", overrideMode: "written", disarmTarget: "stays" },
};
