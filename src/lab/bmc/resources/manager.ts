import { z } from "zod";
import {
  actionInfo,
  actionParameters,
  type BmcParts,
  CHASSIS,
  collection,
  HEALTHY,
  link,
  links,
  MANAGER,
  type Resource,
  SYSTEM,
} from "../resource.js";

const RESETS = ["GracefulRestart", "ForceRestart"] as const;
const Reset = z.strictObject({ ResetType: z.enum(RESETS).default("ForceRestart") });

/** The BMC itself. Its reset ends all sessions, as a real one's does; override and media outlive it. */
export function managerResources({ serviceUuid, sessions, name }: BmcParts): Resource[] {
  return [
    collection("/redfish/v1/Managers", "ManagerCollection", "Managers", () => [MANAGER]),
    {
      path: MANAGER,
      read: () => ({
        "@odata.id": MANAGER,
        "@odata.type": "#Manager.v1_19_0.Manager",
        Id: "BMC",
        Name: `BMC of ${name}`,
        ManagerType: "BMC",
        UUID: serviceUuid,
        ServiceEntryPointUUID: serviceUuid,
        Manufacturer: "Pitstop",
        Model: "Lab BMC",
        FirmwareVersion: "1.0",
        PowerState: "On",
        Status: HEALTHY,
        VirtualMedia: link(`${MANAGER}/VirtualMedia`),
        Links: {
          ManagerForServers: links([SYSTEM]),
          ManagerForChassis: links([CHASSIS]),
          ManagerInChassis: link(CHASSIS),
        },
        Actions: {
          "#Manager.Reset": {
            target: `${MANAGER}/Actions/Manager.Reset`,
            "@Redfish.ActionInfo": `${MANAGER}/ResetActionInfo`,
            "ResetType@Redfish.AllowableValues": RESETS,
          },
        },
      }),
    },
    actionInfo(`${MANAGER}/ResetActionInfo`, "Reset of the BMC", [
      { Name: "ResetType", Required: false, DataType: "String", AllowableValues: RESETS },
    ]),
    {
      path: `${MANAGER}/Actions/Manager.Reset`,
      post: async (body) => {
        actionParameters("Manager.Reset", Reset, body);
        sessions.closeAll();
        return { status: 204 };
      },
    },
  ];
}
