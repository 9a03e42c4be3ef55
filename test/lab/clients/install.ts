import { join } from "node:path";
import { cacheFolder } from "../../../src/cache-folder.js";
import { pythonPrograms } from "../../support/python.js";

/** Independent Redfish clients, in versions that are known to work with each other. */
const PACKAGES = ["redfish_service_validator==3.1.8", "sushy==5.14.0", "redfish_utilities==3.5.2"];

/** Ensures the clients, and gives their folder of programs. */
export const redfishClients = (): Promise<string> => pythonPrograms("redfish-clients", PACKAGES);

/** Folder of DMTF's schema files (the XML of DSP8010), which the validator downloads where it can. */
export const schemaFolder = (): string => process.env.PITSTOP_REDFISH_SCHEMAS ?? join(cacheFolder(), "redfish-schemas");
