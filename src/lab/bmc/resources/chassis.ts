import { type BmcParts, CHASSIS, collection, HEALTHY, links, MANAGER, type Resource, SYSTEM } from "../resource.js";

/** The box around the system: as little as DSP0268 requires. */
export function chassisResources({ name, power, machine }: BmcParts): Resource[] {
  return [
    collection("/redfish/v1/Chassis", "ChassisCollection", "Chassis", () => [CHASSIS]),
    {
      path: CHASSIS,
      read: () => ({
        "@odata.id": CHASSIS,
        "@odata.type": "#Chassis.v1_25_0.Chassis",
        Id: "1",
        Name: `Chassis of ${name}`,
        ChassisType: "RackMount",
        Manufacturer: "Pitstop",
        Model: `Lab machine (${machine.kind})`,
        PowerState: power.isOn ? "On" : "Off",
        Status: HEALTHY,
        Links: { ComputerSystems: links([SYSTEM]), ManagedBy: links([MANAGER]) },
      }),
    },
  ];
}
