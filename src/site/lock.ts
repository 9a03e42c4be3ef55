import { join } from "node:path";
import { takeLock } from "../process-lock.js";

/**
 * Takes the lock of a site's folder and returns its release. `conflict` while another process has it: two sites on one folder
 * would overwrite each other's journal.
 */
export const lockSite = (folder: string): (() => void) =>
  takeLock(join(folder, "lock"), "The site's journal", "another PITSTOP_DATA");
