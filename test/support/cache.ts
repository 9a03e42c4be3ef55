import { homedir } from "node:os";
import { join } from "node:path";

/** What the set-up builds once and keeps, as `workers/prepare.ts` has it. */
export const cacheFolder = (): string =>
  process.env.PITSTOP_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "pitstop");
