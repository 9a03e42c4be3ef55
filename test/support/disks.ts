import { execFileSync } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { closeSync, mkdirSync, openSync, readFileSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";

/** SHA-256 of a whole disk. */
export const diskDigest = (file: string): string => createHash("sha256").update(readFileSync(file)).digest("hex");

export const driveArgs = (file: string, serial: string): string[] => [
  "-drive",
  `file=${file},format=raw,if=none,id=${serial}`,
  "-device",
  `virtio-blk-pci,drive=${serial},serial=${serial}`,
];

function emptyDisk(folder: string, name: string, mebibytes: number): string {
  const file = join(folder, `${name}.img`);
  writeFileSync(file, "");
  truncateSync(file, mebibytes << 20);
  return file;
}

function patch(file: string, at: number, bytes: Uint8Array): void {
  const fd = openSync(file, "r+");
  writeSync(fd, bytes, 0, bytes.length, at);
  closeSync(fd);
}

/** A root file system of a system named `name`, journal and all, made without root. */
export function ext4Disk(folder: string, name: string, machineId: string): string {
  const tree = join(folder, `${name}-tree`);
  mkdirSync(join(tree, "etc"), { recursive: true });
  mkdirSync(join(tree, "usr/lib"), { recursive: true });
  writeFileSync(join(tree, "usr/lib/os-release"), `NAME="Test Linux ${name}"\nVERSION_ID="7"\n`);
  writeFileSync(join(tree, "etc/machine-id"), `${machineId}\n`);
  writeFileSync(join(tree, "etc/hostname"), `${name}\n`);
  const file = emptyDisk(folder, name, 64);
  execFileSync("mke2fs", ["-q", "-t", "ext4", "-L", name, "-d", tree, file]);
  return file;
}

/** Puts a committed transaction into the journal that has not reached the file system: what a power cut leaves. */
export function leaveJournalDirty(file: string): void {
  writeFileSync(`${file}.block`, Buffer.alloc(4096, 0x5a));
  writeFileSync(`${file}.commands`, `jo\njw -b 9000 ${file}.block\njc\n`);
  execFileSync("debugfs", ["-w", "-f", `${file}.commands`, file], { stdio: "ignore" });
  const features = execFileSync("dumpe2fs", ["-h", file], { stdio: ["ignore", "pipe", "ignore"] }).toString();
  if (!features.includes("needs_recovery")) throw new Error("the journal of the test's disk is not dirty");
}

export function xfsDisk(folder: string, name: string): string {
  const file = emptyDisk(folder, name, 320);
  execFileSync("mkfs.xfs", ["-q", "-L", name, file]);
  return file;
}

/** One half of a RAID 1 (md superblock 1.2 at 4 KiB, md_p.h) whose other half is missing: assembling it would write. */
export function mdMemberDisk(folder: string, name: string): string {
  const file = emptyDisk(folder, name, 32);
  const sectors = (32 << 20) / 512;
  const block = Buffer.alloc(256 + 2 * 2);
  block.writeUInt32LE(0xa92b4efc, 0);
  block.writeUInt32LE(1, 4);
  Buffer.from(randomUUID().replaceAll("-", ""), "hex").copy(block, 16);
  block.write(`host:${name}`, 32);
  block.writeBigUInt64LE(BigInt(Math.floor(Date.now() / 1000)), 64);
  block.writeUInt32LE(1, 72);
  block.writeBigUInt64LE(BigInt(sectors - 2048), 80);
  block.writeUInt32LE(2, 92);
  block.writeBigUInt64LE(2048n, 128);
  block.writeBigUInt64LE(BigInt(sectors - 2048), 136);
  block.writeBigUInt64LE(8n, 144);
  Buffer.from(randomUUID().replaceAll("-", ""), "hex").copy(block, 168);
  block.writeBigUInt64LE(BigInt(Math.floor(Date.now() / 1000)), 192);
  block.writeBigUInt64LE(17n, 200);
  block.writeUInt32LE(2, 220);
  block.writeUInt16LE(1, 258);
  let sum = 0n;
  for (let at = 0; at < block.length; at += 4) sum += BigInt(block.readUInt32LE(at));
  block.writeUInt32LE(Number(((sum & 0xffffffffn) + (sum >> 32n)) & 0xffffffffn), 216);
  patch(file, 4096, block);
  return file;
}

/** An LVM2 physical volume: the label in sector 1 with its checksum (lvm2: lib/format_text/layout.h). */
export function lvmDisk(folder: string, name: string): string {
  const file = emptyDisk(folder, name, 32);
  const label = Buffer.alloc(512);
  label.write("LABELONE", 0);
  label.writeBigUInt64LE(1n, 8);
  label.writeUInt32LE(32, 20);
  label.write("LVM2 001", 24);
  label.write(randomUUID().replaceAll("-", ""), 32);
  label.writeBigUInt64LE(BigInt(32 << 20), 64);
  label.writeUInt32LE(lvmCrc(label.subarray(20)), 16);
  patch(file, 512, label);
  return file;
}

/** LVM's CRC-32: the usual polynomial, its own start, and no final inversion. */
function lvmCrc(bytes: Uint8Array): number {
  let crc = 0xf597a6cf;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return crc >>> 0;
}

export function swapDisk(folder: string, name: string): string {
  const file = emptyDisk(folder, name, 32);
  execFileSync("mkswap", ["-L", name, file], { stdio: "ignore" });
  return file;
}

/** Makes swap space hold the image of a system that sleeps in it: resuming, or swapping on, would destroy it. */
export function hibernate(file: string): void {
  patch(file, 4096 - 10, Buffer.from("S1SUSPEND\0"));
}

export function hibernatedDisk(folder: string, name: string): string {
  const file = swapDisk(folder, name);
  hibernate(file);
  return file;
}

/** Whether the log has entries that a mount would replay. */
export function isXfsLogDirty(file: string): boolean {
  return execFileSync("xfs_logprint", ["-t", file], { stdio: ["ignore", "pipe", "ignore"] })
    .toString()
    .includes("<DIRTY>");
}
