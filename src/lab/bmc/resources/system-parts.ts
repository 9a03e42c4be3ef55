import type { LabBootOption } from "../../machine.js";
import { type BmcParts, collection, HEALTHY, type Json, type Resource, SYSTEM } from "../resource.js";

const OPTIONS = `${SYSTEM}/BootOptions`;

/** What hangs below the system: network interfaces, boot menu, Secure Boot. All read-only. */
export function systemPartResources({ machine, secureBoot }: BmcParts): Resource[] {
  const nics = machine.macs.map((mac, index): Resource => {
    const path = `${SYSTEM}/EthernetInterfaces/${index + 1}`;
    return {
      path,
      read: () => ({
        "@odata.id": path,
        "@odata.type": "#EthernetInterface.v1_12_0.EthernetInterface",
        Id: String(index + 1),
        Name: `NIC ${index + 1}`,
        MACAddress: mac,
        PermanentMACAddress: mac,
        InterfaceEnabled: true,
        LinkStatus: machine.isOn() ? "LinkUp" : "NoLink",
        Status: HEALTHY,
      }),
    };
  });
  const secureBootPath = `${SYSTEM}/SecureBoot`;
  const secureBootResource: Resource = {
    path: secureBootPath,
    read: () => ({
      "@odata.id": secureBootPath,
      "@odata.type": "#SecureBoot.v1_1_0.SecureBoot",
      Id: "SecureBoot",
      Name: "Secure Boot",
      SecureBootEnable: secureBoot,
      SecureBootCurrentBoot: secureBoot ? "Enabled" : "Disabled",
      SecureBootMode: secureBoot ? "DeployedMode" : "SetupMode",
    }),
  };
  return [
    collection(`${SYSTEM}/EthernetInterfaces`, "EthernetInterfaceCollection", "NICs", () =>
      nics.map((nic) => nic.path),
    ),
    ...nics,
    collection(OPTIONS, "BootOptionCollection", "Boot options", async () =>
      (await machine.bootOptions()).map((option) => `${OPTIONS}/${option.reference}`),
    ),
    ...(machine.firmware === "uefi" ? [secureBootResource] : []),
  ];
}

/** One entry of the boot menu, as the firmware has it now. */
export async function bootOptionResource({ machine }: BmcParts, path: string): Promise<Resource | null> {
  if (!path.startsWith(`${OPTIONS}/`)) return null;
  const option = (await machine.bootOptions()).find((each) => `${OPTIONS}/${each.reference}` === path);
  return option ? { path, read: () => describe(path, option) } : null;
}

const describe = (path: string, option: LabBootOption): Json => ({
  "@odata.id": path,
  "@odata.type": "#BootOption.v1_0_6.BootOption",
  Id: option.reference,
  Name: option.displayName,
  BootOptionReference: option.reference,
  DisplayName: option.displayName,
  BootOptionEnabled: option.enabled,
  ...(option.uefiDevicePath === null ? {} : { UefiDevicePath: option.uefiDevicePath }),
});
