import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join, normalize } from "node:path";

const HEADER_BYTES = 110;
const MAX_ENTRIES = 1_000;
const TYPE = 0o170000;
const FOLDER = 0o040000;
const FILE = 0o100000;

/** Whether these bytes begin as a cpio archive in the form `newc`. */
export const isArchive = (bytes: Buffer): boolean => bytes.subarray(0, 6).toString("latin1") === "070701";

/**
 * Unpacks a `newc` archive below `root` as a kernel unpacks an initrd: folders and plain files. A path that would leave
 * the folder is an error. Owners are left out: a process machine's image belongs to the lab.
 */
export async function unpack(bytes: Buffer, root: string): Promise<string[]> {
  const paths: string[] = [];
  let at = 0;
  for (let entries = 0; entries < MAX_ENTRIES; entries++) {
    if (!isArchive(bytes.subarray(at))) throw new Error("the archive is damaged");
    const field = (index: number) =>
      Number.parseInt(bytes.toString("latin1", at + 6 + index * 8, at + 14 + index * 8), 16);
    const [mode, size, nameSize] = [field(1), field(6), field(11)];
    const name = bytes.toString("utf8", at + HEADER_BYTES, at + HEADER_BYTES + nameSize - 1);
    const content = aligned(at + HEADER_BYTES + nameSize);
    if (content + size > bytes.length) throw new Error("the archive is cut off");
    if (name === "TRAILER!!!") return paths;
    const path = inside(root, name);
    if ((mode & TYPE) === FOLDER) {
      await mkdir(path, { recursive: true });
    } else if ((mode & TYPE) === FILE) {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, bytes.subarray(content, content + size), { mode: mode & 0o777 });
      paths.push(name);
    }
    at = aligned(content + size);
  }
  throw new Error(`the archive has more than ${MAX_ENTRIES} entries`);
}

const aligned = (offset: number): number => (offset + 3) & ~3;

function inside(root: string, name: string): string {
  const path = normalize(join("/", name));
  if (path.includes("\0") || name.split("/").includes("..")) throw new Error("the archive has a path that leads out");
  return join(root, path);
}
