/**
 * Writes cpio archives in the "newc" form that the kernel unpacks as an initrd
 * (Linux: Documentation/driver-api/early-userspace/buffer-format.rst).
 */

export interface CpioFile {
  /** Relative, without a leading slash; its parent folders must come before it. */
  path: string;
  /** Type and permission bits, for example 0o100600 for a private file and 0o040755 for a folder. */
  mode: number;
  content?: Uint8Array;
}

/** The EFI stub of the kernel joins initrds without padding and drops what does not begin aligned: a multiple of this. */
export const INITRD_ALIGNMENT = 512;

export const padded = (bytes: number, to: number = INITRD_ALIGNMENT): number => Math.ceil(bytes / to) * to;

/** One uncompressed archive, the same bytes for the same files: owner root, modification time 0, inodes counted. */
export function cpioArchive(files: CpioFile[]): Buffer {
  const parts: Buffer[] = [];
  let inode = 1;
  for (const file of [...files, { path: "TRAILER!!!", mode: 0 }]) {
    const name = Buffer.from(`${file.path}\0`, "utf8");
    const content = Buffer.from(file.content ?? []);
    const links = (file.mode & 0o170000) === 0o040000 ? 2 : 1;
    const fields = [inode++, file.mode, 0, 0, links, 0, content.length, 0, 0, 0, 0, name.length, 0];
    const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`, "ascii");
    parts.push(aligned(Buffer.concat([header, name]), 4), aligned(content, 4));
  }
  return aligned(Buffer.concat(parts), INITRD_ALIGNMENT);
}

function aligned(bytes: Buffer, to: number): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(padded(bytes.length, to) - bytes.length)]);
}
