import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sharedServer } from "./database.js";

/** Vitest's global set-up: names the folder of the suites' database, and stops its server when the run is over. */
export default function setup(): () => Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "pitstop-tests-"));
  process.env.PITSTOP_TEST_DATABASE = dir;
  return async () => {
    // The suites' processes have ended by now: the one who closes last stops the server.
    if (existsSync(join(dir, "data"))) await (await sharedServer()).close();
    rmSync(dir, { recursive: true, force: true });
  };
}
