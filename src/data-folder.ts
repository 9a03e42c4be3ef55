import { chmod, lstat, mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { PitstopError } from "./domain/errors.js";

/** Group and others; PITSTOP_DATA holds tokens, keys, boot snapshots and passwords. */
const NOT_THE_OWNER = 0o077;
/** The embedded database runs as "nobody" where root may start it in no other way. */
const DATABASE = "database";
const NOBODY = 65534;

export interface DataFolderReport {
  /** Entries of which group or others had rights, by path; in `look` they still have. */
  open: string[];
  /** Entries that belong to another user. */
  foreign: { path: string; uid: number }[];
}

/**
 * Makes PITSTOP_DATA, and all below it, this user's alone, now and for what this process makes later: takes the rights of
 * group and others away and returns the entries that had some. `refused` where an entry belongs to another user.
 */
export async function secureDataFolder(folder: string): Promise<string[]> {
  // What this process and the programs that it starts make from here on is theirs alone, too.
  process.umask(NOT_THE_OWNER);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const report = await lookAtDataFolder(folder, process.getuid?.());
  const [first] = report.foreign;
  if (first) {
    const more = report.foreign.length > 1 ? ` and ${report.foreign.length - 1} more` : "";
    const uid = process.getuid?.();
    throw new PitstopError(
      "refused",
      `${first.path}${more} in PITSTOP_DATA belongs to the user ${first.uid}, and this process is the user ${uid}; start Pitstop as the owner, or run "chown -R ${uid} ${folder}".`,
    );
  }
  for (const path of report.open) {
    const facts = await lstat(path).catch(absent);
    if (facts) await chmod(path, facts.mode & 0o7777 & ~NOT_THE_OWNER).catch(absent);
  }
  return report.open;
}

/**
 * What {@link secureDataFolder} would change or refuse for the user `uid`: the folder's owner unless told. Symbolic links
 * are not followed.
 */
export async function lookAtDataFolder(folder: string, owner?: number): Promise<DataFolderReport> {
  const report: DataFolderReport = { open: [], foreign: [] };
  const uid = process.getuid === undefined ? undefined : (owner ?? (await lstat(folder)).uid);
  // No users and modes of this kind (Windows): nothing to compare.
  if (uid === undefined) return report;
  const look = async (path: string, owners: number[]): Promise<void> => {
    const facts = await lstat(path).catch(absent);
    if (!facts) return;
    if (!owners.includes(facts.uid)) report.foreign.push({ path, uid: facts.uid });
    if (facts.isSymbolicLink()) return;
    if ((facts.mode & NOT_THE_OWNER) !== 0) report.open.push(path);
    if (!facts.isDirectory()) return;
    for (const name of (await readdir(path).catch(absent)) ?? []) {
      const isDatabase = path === folder && name === DATABASE && uid === 0;
      await look(join(path, name), isDatabase ? [uid, NOBODY] : owners);
    }
  };
  await look(folder, [uid]);
  return report;
}

/** Another process may remove a file while it is looked at. */
function absent(error: unknown): null {
  if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
  throw error;
}
