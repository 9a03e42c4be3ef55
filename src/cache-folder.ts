import { homedir } from "node:os";
import { join } from "node:path";

/** Folder of what the set-up builds once and keeps for every later start: `PITSTOP_CACHE`, else `pitstop` in the user's cache folder. */
export const cacheFolder = (): string =>
  process.env.PITSTOP_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "pitstop");
