import { closeSync, openSync, readFileSync, readSync, renameSync, writeFileSync } from "node:fs";
import type { LabBoot, LabBootOption } from "../machine.js";
import { type BootMenu, refuseUnknown } from "./boot-menu.js";
import { cdPath, devicePathText, diskFilePath, pxePath, uriPath } from "./device-path.js";
import { VariableStore } from "./variables.js";

/** LOAD_OPTION_ACTIVE and LOAD_OPTION_HIDDEN (UEFI 2.10, section 3.1.3). */
const ACTIVE = 1;

/** The disk's own boot entry, as an installer would have made it: a number that firmware, counting from 0, leaves alone. */
const DISK_ENTRY = "Boot0100";
const DISK_ENTRY_NAME = "Pitstop lab system";
const DISK_LOADER = "\\EFI\\PITSTOP\\BOOTX64.EFI";
/** The BMC's one-time entry, which is there only while the machine runs and is not part of what the menu shows. */
const ONE_TIME_ENTRY = "Boot0199";

/** BootOrder, Boot#### and BootNext (UEFI 2.10, section 3.3) in the VARS file of an OVMF machine. */
export class UefiBootMenu implements BootMenu {
  readonly #varsFile: string;
  readonly #mac: string;

  constructor(varsFile: string, mac: string) {
    this.#varsFile = varsFile;
    this.#mac = mac;
  }

  /** Puts the disk's named entry first where it is missing: a machine whose system was installed has one. */
  ensureDiskEntry(diskFile: string): void {
    const store = this.#load();
    if (store.get(DISK_ENTRY)) return;
    store.set(DISK_ENTRY, loadOption(DISK_ENTRY_NAME, diskFilePath(readBootSector(diskFile), DISK_LOADER)));
    store.set("BootOrder", encodeOrder([DISK_ENTRY, ...decodeOrder(store.get("BootOrder"))]));
    this.#save(store);
  }

  options(): LabBootOption[] {
    const store = this.#load();
    return store
      .names()
      .filter((name) => /^Boot[0-9A-F]{4}$/.test(name) && name !== ONE_TIME_ENTRY)
      .sort()
      .flatMap((name) => describe(name, store.get(name)));
  }

  order(): string[] {
    return decodeOrder(this.#load().get("BootOrder")).filter((reference) => reference !== ONE_TIME_ENTRY);
  }

  setOrder(references: string[]): void {
    const store = this.#load();
    refuseUnknown(
      references,
      store.names().filter((name) => /^Boot[0-9A-F]{4}$/.test(name) && name !== ONE_TIME_ENTRY),
    );
    store.set("BootOrder", encodeOrder(references));
    this.#save(store);
  }

  arm(boot: LabBoot): void {
    const store = this.#load();
    const before = store.toBuffer();
    store.delete(ONE_TIME_ENTRY);
    store.delete("BootNext");
    // Firmware does not put an entry of BootNext into the order, but an image may have.
    const order = decodeOrder(store.get("BootOrder"));
    if (order.includes(ONE_TIME_ENTRY)) {
      store.set("BootOrder", encodeOrder(order.filter((reference) => reference !== ONE_TIME_ENTRY)));
    }
    const path = this.#oneTimePath(boot);
    if (path) {
      store.set(ONE_TIME_ENTRY, loadOption("Pitstop lab BMC, once", path));
      store.set("BootNext", encodeOrder([ONE_TIME_ENTRY]));
    }
    if (!store.toBuffer().equals(before)) this.#save(store);
  }

  #oneTimePath(boot: LabBoot): Buffer | null {
    switch (boot.from) {
      case "disk":
        return null;
      case "pxe":
        return pxePath(this.#mac);
      case "cd":
        return cdPath();
      case "uefi-http":
        return uriPath(this.#mac, boot.uri);
    }
  }

  #load(): VariableStore {
    return new VariableStore(readFileSync(this.#varsFile));
  }

  #save(store: VariableStore): void {
    writeFileSync(`${this.#varsFile}.new`, store.toBuffer());
    renameSync(`${this.#varsFile}.new`, this.#varsFile);
  }
}

/** EFI_LOAD_OPTION (UEFI 2.10, section 3.1.3). */
function loadOption(name: string, path: Buffer): Buffer {
  const header = Buffer.alloc(6);
  header.writeUInt32LE(ACTIVE, 0);
  header.writeUInt16LE(path.length, 4);
  return Buffer.concat([header, Buffer.from(`${name}\0`, "utf16le"), path]);
}

function describe(reference: string, option: Buffer | null): LabBootOption[] {
  if (!option || option.length < 8) return [];
  let end = 6;
  while (end + 2 <= option.length && option.readUInt16LE(end) !== 0) end += 2;
  const pathAt = end + 2;
  const path = option.subarray(pathAt, pathAt + option.readUInt16LE(4));
  return [
    {
      reference,
      displayName: option.toString("utf16le", 6, end),
      uefiDevicePath: devicePathText(path),
      enabled: (option.readUInt32LE(0) & ACTIVE) !== 0,
    },
  ];
}

function decodeOrder(data: Buffer | null): string[] {
  const references: string[] = [];
  for (let at = 0; data && at + 2 <= data.length; at += 2) {
    references.push(`Boot${data.readUInt16LE(at).toString(16).toUpperCase().padStart(4, "0")}`);
  }
  return references;
}

function encodeOrder(references: string[]): Buffer {
  const data = Buffer.alloc(references.length * 2);
  references.forEach((reference, index) => {
    data.writeUInt16LE(Number.parseInt(reference.slice(4), 16), index * 2);
  });
  return data;
}

function readBootSector(diskFile: string): Buffer {
  const sector = Buffer.alloc(512);
  const file = openSync(diskFile, "r");
  try {
    readSync(file, sector, 0, sector.length, 0);
  } finally {
    closeSync(file);
  }
  return sector;
}
