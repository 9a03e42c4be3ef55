import type { Quirk } from "./quirk.js";

export const lenovoOnceOnly: Quirk = {
  name: "lenovo-once-only",
  vendor: "Lenovo",
  firmware: "XCC",
  symptom: "Enabled takes only Once and Disabled.",
  source: "Lenovo XClarity Controller REST API guide, ComputerSystem.Boot",
  where: { maker: /lenovo/i },
  dialect: { enabledValues: ["Disabled", "Once"] },
};
