import { existsSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { cacheFolder } from "../../support/cache.js";

/** Independent Redfish clients, in versions that are known to work with each other. */
const PACKAGES = ["redfish_service_validator==3.1.8", "sushy==5.14.0", "redfish_utilities==3.5.2"];
const INSTALL_MS = 5 * 60_000;

/** Ensures the clients in a virtual environment in the cache, and gives its folder of programs. */
export async function redfishClients(): Promise<string> {
  const venv = join(cacheFolder(), "redfish-clients");
  const programs = `${venv}/bin`;
  const has = ["rf_service_validator", "rf_power_reset.py"].every((name) => existsSync(`${programs}/${name}`));
  if (has && (await execa(`${programs}/python3`, ["-c", "import sushy"], { reject: false })).exitCode === 0) {
    return programs;
  }
  await execa("python3", ["-m", "venv", venv], { timeout: INSTALL_MS });
  await execa(`${programs}/pip`, ["install", "--quiet", ...PACKAGES], { timeout: INSTALL_MS });
  return programs;
}

/** Folder of DMTF's schema files (the XML of DSP8010), which the validator downloads where it can. */
export const schemaFolder = (): string => process.env.PITSTOP_REDFISH_SCHEMAS ?? join(cacheFolder(), "redfish-schemas");
