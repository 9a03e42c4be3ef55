import type { Quirk } from "./quirk.js";

export const supermicroUsbCd: Quirk = {
  name: "supermicro-usb-cd",
  vendor: "Supermicro",
  firmware: "X11, X12",
  symptom: "Virtual media is a USB CD: the target Cd is offered but does not boot it. The ARS-111GL-NHR wants Cd.",
  source: "openstack/sushy sushy/resources/system/system.py",
  where: { maker: /supermicro/i, notModel: /^ARS-111GL-NHR/i },
  dialect: { mediaTargets: ["UsbCd", "Cd"] },
};
