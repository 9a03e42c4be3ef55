import { existsSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { cacheFolder } from "../support/cache.js";

/** hypothesis is the last one that this release goes together with. */
const PACKAGES = ["schemathesis==4.4.4", "hypothesis==6.135.0"];
const INSTALL_MS = 5 * 60_000;

/** Ensures schemathesis in a virtual environment in the cache, and gives the program. */
export async function schemathesis(): Promise<string> {
  const venv = join(cacheFolder(), "schemathesis");
  const program = join(venv, "bin", "schemathesis");
  if (existsSync(program) && (await execa(program, ["--version"], { reject: false })).exitCode === 0) return program;
  await execa("python3", ["-m", "venv", venv], { timeout: INSTALL_MS });
  await execa(join(venv, "bin", "pip"), ["install", "--quiet", ...PACKAGES], { timeout: INSTALL_MS });
  return program;
}
