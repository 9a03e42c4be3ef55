/**
 * UEFI device paths (UEFI 2.10, section 10): made for the few places that a lab machine boots from, and told in the
 * text form of section 10.6 for whatever the firmware has put into its boot options.
 */

/** Where a lab machine's parts sit on PCI bus 0; the argument list of QEMU says the same. */
export const PCI_SLOT = { nic: 3, disk: 4, watchdog: 5, firstExtraDisk: 8 } as const;
/** The SATA controller that the q35 chip set has built in. */
const SATA_SLOT = 0x1f;
const SATA_FUNCTION = 2;
/** Compressed EISA ids of a PCI and of a PCI Express root bridge. */
const PNP0A03 = 0x0a0341d0;
const PNP0A08 = 0x0a0841d0;

const node = (type: number, subType: number, data: Buffer): Buffer => {
  const header = Buffer.from([type, subType, 0, 0]);
  header.writeUInt16LE(4 + data.length, 2);
  return Buffer.concat([header, data]);
};
const END = node(0x7f, 0xff, Buffer.alloc(0));

const pciRoot = (): Buffer => node(2, 1, Buffer.from("d041030a00000000", "hex"));
const pci = (device: number, fn: number): Buffer => node(1, 1, Buffer.from([fn, device]));

/** The first partition of a disk with an MBR, without saying on which controller: the short form of section 10.3.5.1. */
export function diskFilePath(mbr: Buffer, file: string): Buffer {
  const data = Buffer.alloc(38);
  data.writeUInt32LE(1, 0);
  data.writeBigUInt64LE(BigInt(mbr.readUInt32LE(446 + 8)), 4);
  data.writeBigUInt64LE(BigInt(mbr.readUInt32LE(446 + 12)), 12);
  mbr.copy(data, 20, 440, 444);
  data.writeUInt8(1, 36);
  data.writeUInt8(1, 37);
  return Buffer.concat([node(4, 1, data), node(4, 4, Buffer.from(`${file}\0`, "utf16le")), END]);
}

/** The network card with IPv4 by DHCP: what OVMF's own options for PXE and HTTP boot begin with. */
function networkPath(mac: string): Buffer {
  const address = Buffer.alloc(33);
  Buffer.from(mac.replaceAll(":", ""), "hex").copy(address);
  address.writeUInt8(1, 32);
  return Buffer.concat([pciRoot(), pci(PCI_SLOT.nic, 0), node(3, 11, address), node(3, 12, Buffer.alloc(23))]);
}

/** PXE over IPv4. */
export const pxePath = (mac: string): Buffer => Buffer.concat([networkPath(mac), END]);

/**
 * HTTP boot of one URI over IPv4. The short form, which is the URI alone, would do as well until it fails: then OVMF
 * tries every further network way, and waits a minute for DHCPv6 before it goes home.
 */
export const uriPath = (mac: string, uri: string): Buffer =>
  Buffer.concat([networkPath(mac), node(3, 24, Buffer.from(uri, "latin1")), END]);

/** The drive at the SATA controller's first port. */
export function cdPath(): Buffer {
  const port = Buffer.from([0, 0, 0xff, 0xff, 0, 0]);
  return Buffer.concat([pciRoot(), pci(SATA_SLOT, SATA_FUNCTION), node(3, 18, port), END]);
}

/** The text form. A node that this file does not know is told as `Path(type,subtype,bytes)`, as the section says. */
export function devicePathText(path: Buffer): string {
  const parts: string[] = [];
  let at = 0;
  while (at + 4 <= path.length) {
    const type = path.readUInt8(at);
    const subType = path.readUInt8(at + 1);
    const length = path.readUInt16LE(at + 2);
    if (type === 0x7f || length < 4 || at + length > path.length) break;
    parts.push(nodeText(type, subType, path.subarray(at + 4, at + length)));
    at += length;
  }
  return parts.join("/");
}

const hex = (value: number | bigint): string => `0x${value.toString(16).toUpperCase()}`;
const unknownText = (type: number, subType: number, data: Buffer): string =>
  `Path(${type},${subType},${data.toString("hex").toUpperCase()})`;

/** By type and subtype; a node shorter than its `bytes` is damaged and told as unknown. */
const TEXTS: Record<string, { bytes: number; text: (data: Buffer) => string }> = {
  "1/1": { bytes: 2, text: (d) => `Pci(${hex(d.readUInt8(1))},${hex(d.readUInt8(0))})` },
  "2/1": { bytes: 8, text: acpiText },
  "3/2": { bytes: 4, text: (d) => `Scsi(${hex(d.readUInt16LE(0))},${hex(d.readUInt16LE(2))})` },
  "3/11": { bytes: 33, text: macText },
  "3/12": { bytes: 23, text: ipv4Text },
  "3/13": { bytes: 56, text: ipv6Text },
  "3/18": {
    bytes: 6,
    text: (d) => `Sata(${hex(d.readUInt16LE(0))},${hex(d.readUInt16LE(2))},${hex(d.readUInt16LE(4))})`,
  },
  "3/24": { bytes: 0, text: (d) => `Uri(${d.toString("latin1")})` },
  "4/1": { bytes: 38, text: hardDriveText },
  "4/4": { bytes: 2, text: (d) => d.toString("utf16le").replace(/\0.*$/s, "") },
  "4/6": { bytes: 16, text: (d) => `FvFile(${guidText(d, 0)})` },
  "4/7": { bytes: 16, text: (d) => `Fv(${guidText(d, 0)})` },
};

function nodeText(type: number, subType: number, data: Buffer): string {
  const known = TEXTS[`${type}/${subType}`];
  return known && data.length >= known.bytes ? known.text(data) : unknownText(type, subType, data);
}

function acpiText(data: Buffer): string {
  const hid = data.readUInt32LE(0);
  const uid = hex(data.readUInt32LE(4));
  if (hid === PNP0A03) return `PciRoot(${uid})`;
  return hid === PNP0A08 ? `PcieRoot(${uid})` : `Acpi(${hex(hid)},${uid})`;
}

function macText(data: Buffer): string {
  const type = data.readUInt8(32);
  // Types 0 and 1 are Ethernet, whose address has 6 of the 32 bytes.
  return `MAC(${data.toString("hex", 0, type <= 1 ? 6 : 32).toUpperCase()},${hex(type)})`;
}

function ipv4Text(data: Buffer): string {
  const ip = (at: number): string => [...data.subarray(at, at + 4)].join(".");
  const how = data.readUInt8(14) === 0 ? "DHCP" : "Static";
  return `IPv4(${ip(4)},${hex(data.readUInt16LE(12))},${how},${ip(0)},${ip(15)},${ip(19)})`;
}

function ipv6Text(data: Buffer): string {
  const ip = (at: number): string => (data.toString("hex", at, at + 16).match(/.{4}/g) ?? []).join(":").toUpperCase();
  const how = ["Static", "StatelessAutoConfigure", "StatefulAutoConfigure"][data.readUInt8(38)] ?? "Static";
  return `IPv6(${ip(16)},${hex(data.readUInt16LE(36))},${how},${ip(0)},${ip(40)})`;
}

function hardDriveText(data: Buffer): string {
  const range = `${hex(data.readBigUInt64LE(4))},${hex(data.readBigUInt64LE(12))}`;
  const number = data.readUInt32LE(0);
  const isMbr = data.readUInt8(37) === 1;
  return isMbr
    ? `HD(${number},MBR,${hex(data.readUInt32LE(20))},${range})`
    : `HD(${number},GPT,${guidText(data, 20)},${range})`;
}

function guidText(data: Buffer, at: number): string {
  const part = (from: number, to: number): string => data.toString("hex", at + from, at + to);
  const swapped = (from: number, to: number): string =>
    Buffer.from(data.subarray(at + from, at + to))
      .reverse()
      .toString("hex");
  return `${swapped(0, 4)}-${swapped(4, 6)}-${swapped(6, 8)}-${part(8, 10)}-${part(10, 16)}`.toUpperCase();
}
