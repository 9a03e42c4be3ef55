// Writes a folder as a cpio archive (newc) to standard output, the same bytes for the same names and contents: sorted,
// owner root, times zero, inodes counted, link counts fixed. The cpio program takes link counts from the file system.
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";

const root = process.argv[2];
if (!root) throw new Error("usage: node newc.mjs FOLDER > ARCHIVE");

const pad4 = (length) => Buffer.alloc((4 - (length % 4)) % 4);
let inode = 0;

function entry(name, mode, data) {
  const fields = [++inode, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, Buffer.byteLength(name) + 1, 0];
  const header = `070701${fields.map((n) => n.toString(16).padStart(8, "0").toUpperCase()).join("")}${name}\0`;
  const head = Buffer.from(header);
  return Buffer.concat([head, pad4(head.length), data, pad4(data.length)]);
}

function* walk(folder) {
  for (const name of readdirSync(join(root, folder)).sort()) {
    const path = folder === "" ? name : `${folder}/${name}`;
    const stat = lstatSync(join(root, path));
    if (stat.isDirectory()) {
      yield entry(path, 0o040755, Buffer.alloc(0));
      yield* walk(path);
    } else if (stat.isSymbolicLink()) {
      yield entry(path, 0o120777, Buffer.from(readlinkSync(join(root, path))));
    } else {
      yield entry(path, stat.mode & 0o100 ? 0o100755 : 0o100644, readFileSync(join(root, path)));
    }
  }
}

const parts = [...walk("")];
inode = -1;
parts.push(entry("TRAILER!!!", 0, Buffer.alloc(0)));
process.stdout.write(Buffer.concat(parts));
