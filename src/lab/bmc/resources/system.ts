import { z } from "zod";
import { RESET_TYPES } from "../power.js";
import {
  actionInfo,
  actionParameters,
  type BmcParts,
  CHASSIS,
  collection,
  HEALTHY,
  type Json,
  link,
  links,
  MANAGER,
  type Resource,
  SYSTEM,
} from "../resource.js";
import { bootPatch, describeBoot, systemPatch } from "./boot.js";

const Reset = z.strictObject({ ResetType: z.enum(RESET_TYPES) });
const SETTINGS = `${SYSTEM}/Settings`;

/** ComputerSystem, its Reset, and where a fault asks for it its Settings resource. */
export function systemResources(parts: BmcParts): Resource[] {
  const { power, faults } = parts;
  const read = () => describeSystem(parts);
  return [
    collection("/redfish/v1/Systems", "ComputerSystemCollection", "Systems", () => [SYSTEM]),
    {
      path: SYSTEM,
      read,
      get patch() {
        return systemPatch(parts, faults.bootInSettings);
      },
    },
    actionInfo(`${SYSTEM}/ResetActionInfo`, "Reset of the system", [
      { Name: "ResetType", Required: true, DataType: "String", AllowableValues: RESET_TYPES },
    ]),
    {
      path: `${SYSTEM}/Actions/ComputerSystem.Reset`,
      post: async (body) => {
        power.reset(actionParameters("ComputerSystem.Reset", Reset, body).ResetType);
        return { status: 204 };
      },
    },
  ];
}

/** `@Redfish.Settings` (DSP0266 section 9.10): present only while the fault `settings-object` is injected. */
export function settingsResource(parts: BmcParts, path: string): Resource | null {
  if (path !== SETTINGS || !parts.faults.bootInSettings) return null;
  return {
    path,
    read: async () => ({
      "@odata.id": SETTINGS,
      "@odata.type": "#ComputerSystem.v1_22_0.ComputerSystem",
      Id: "Settings",
      Name: `Settings of ${parts.name}`,
      Boot: await describeBoot(parts),
    }),
    patch: bootPatch(parts),
  };
}

async function describeSystem(parts: BmcParts): Promise<Json> {
  const { machine, name, power, state, faults } = parts;
  const uefi = machine.firmware === "uefi";
  return {
    "@odata.id": SYSTEM,
    "@odata.type": "#ComputerSystem.v1_22_0.ComputerSystem",
    Id: "1",
    Name: name,
    SystemType: "Virtual",
    Manufacturer: "Pitstop",
    Model: `Lab machine (${machine.kind})`,
    SerialNumber: machine.uuid.slice(-12).toUpperCase(),
    UUID: machine.uuid,
    AssetTag: state.current.assetTag,
    PowerState: power.isOn ? "On" : "Off",
    PowerRestorePolicy: state.current.powerRestorePolicy,
    BootProgress: { LastState: machine.bootProgress() },
    Boot: await describeBoot(parts),
    ProcessorSummary: { Count: 1, CoreCount: machine.cpus },
    MemorySummary: { TotalSystemMemoryGiB: machine.memoryMiB / 1024 },
    Status: HEALTHY,
    EthernetInterfaces: link(`${SYSTEM}/EthernetInterfaces`),
    VirtualMedia: link(`${MANAGER}/VirtualMedia`),
    ...(uefi ? { SecureBoot: link(`${SYSTEM}/SecureBoot`) } : {}),
    ...(faults.bootInSettings
      ? { "@Redfish.Settings": { "@odata.type": "#Settings.v1_3_5.Settings", SettingsObject: link(SETTINGS) } }
      : {}),
    Links: { Chassis: links([CHASSIS]), ManagedBy: links([MANAGER]) },
    Actions: {
      "#ComputerSystem.Reset": {
        target: `${SYSTEM}/Actions/ComputerSystem.Reset`,
        "@Redfish.ActionInfo": `${SYSTEM}/ResetActionInfo`,
        "ResetType@Redfish.AllowableValues": RESET_TYPES,
      },
    },
  };
}
