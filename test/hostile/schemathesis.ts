import { join } from "node:path";
import { pythonPrograms } from "../support/python.js";

/** hypothesis is the last one that this release goes together with. */
const PACKAGES = ["schemathesis==4.4.4", "hypothesis==6.135.0"];

/** Ensures schemathesis, and gives the program. */
export async function schemathesis(): Promise<string> {
  return join(await pythonPrograms("schemathesis", PACKAGES), "schemathesis");
}
