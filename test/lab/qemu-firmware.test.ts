import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import "../support/seeded.js";
import { cdPath, devicePathText, diskFilePath, pxePath, uriPath } from "../../src/lab/qemu/device-path.js";
import { VariableStore } from "../../src/lab/qemu/variables.js";

const empty = emptyStore(64 << 10);

describe("a UEFI variable store", () => {
  it("gives back what was put in, and forgets what was deleted", () => {
    const names = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 20 }).filter((name) => !name.includes("\0")));
    fc.assert(
      fc.property(names, fc.uint8Array({ maxLength: 300 }), (all, bytes) => {
        const store = new VariableStore(empty);
        for (const [index, name] of all.entries()) store.set(name, Buffer.from([index, ...bytes]));
        const [gone, ...kept] = all;
        if (gone !== undefined) store.delete(gone);
        const read = new VariableStore(store.toBuffer());
        expect(read.names()).toEqual(kept);
        for (const [index, name] of kept.entries()) expect(read.get(name)).toEqual(Buffer.from([index + 1, ...bytes]));
      }),
      { numRuns: 50 },
    );
  });

  it("takes a variable whose replacement was not finished as it was before", () => {
    const store = new VariableStore(empty);
    store.set("BootOrder", Buffer.from([1, 0]));
    const image = store.toBuffer();
    image.writeUInt8(0x3e, 0x48 + 28 + 2);
    expect(new VariableStore(image).get("BootOrder")).toEqual(Buffer.from([1, 0]));
    image.writeUInt8(0x3c, 0x48 + 28 + 2);
    expect(new VariableStore(image).get("BootOrder")).toBeNull();
  });

  it("refuses more than fits, and what is no store, and survives a store that was cut off", () => {
    const store = new VariableStore(emptyStore(4 << 10));
    store.set("Big", Buffer.alloc(4 << 10));
    expect(() => store.toBuffer()).toThrow("full");
    expect(() => new VariableStore(Buffer.alloc(4096))).toThrow("not a UEFI variable store");
    expect(() => new VariableStore(Buffer.alloc(0))).toThrow("not a UEFI variable store");
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 60, maxLength: 200 }), (bytes) => {
        const image = Buffer.from(empty);
        Buffer.from([0xaa, 0x55, 0x3f, ...bytes]).copy(image, 0x48 + 28);
        new VariableStore(image).names();
      }),
    );
  });
});

describe("a UEFI device path as text", () => {
  it("names disk, network, URI and drive as firmware does", () => {
    const mbr = Buffer.alloc(512);
    mbr.writeUInt32LE(0x50495453, 440);
    mbr.writeUInt32LE(2048, 446 + 8);
    mbr.writeUInt32LE(96256, 446 + 12);
    expect(devicePathText(diskFilePath(mbr, "\\EFI\\X.EFI"))).toBe("HD(1,MBR,0x50495453,0x800,0x17800)/\\EFI\\X.EFI");
    const net = "PciRoot(0x0)/Pci(0x3,0x0)/MAC(525400123456,0x1)/IPv4(0.0.0.0,0x0,DHCP,0.0.0.0,0.0.0.0,0.0.0.0)";
    expect(devicePathText(pxePath("52:54:00:12:34:56"))).toBe(net);
    expect(devicePathText(uriPath("52:54:00:12:34:56", "http://a/b"))).toBe(`${net}/Uri(http://a/b)`);
    expect(devicePathText(cdPath())).toBe("PciRoot(0x0)/Pci(0x1F,0x2)/Sata(0x0,0xFFFF,0x0)");
  });

  it("tells a node that it does not know by its bytes, and never fails", () => {
    expect(devicePathText(Buffer.from("7e0506000102", "hex"))).toBe("Path(126,5,0102)");
    expect(devicePathText(Buffer.from("0407140083a5047c3e9e1c4fad65e05268d0b4d17fff0400", "hex"))).toBe(
      "Fv(7C04A583-9E3E-4F1C-AD65-E05268D0B4D1)",
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        devicePathText(Buffer.from(bytes));
      }),
    );
  });
});

/** A firmware volume with a variable store of nothing, as in OVMF's own file. */
function emptyStore(bytes: number): Buffer {
  const image = Buffer.alloc(bytes, 0xff);
  image.write("_FVH", 40, "latin1");
  image.writeUInt16LE(0x48, 48);
  Buffer.from("782cf3aa7b949a43a1802e144ec37792", "hex").copy(image, 0x48);
  image.writeUInt32LE(bytes - 0x48, 0x48 + 16);
  return image;
}

/** Read here, so that a change of the packaged file's format is seen as such. */
it("OVMF's own file is such a store", () => {
  const store = new VariableStore(readFileSync("/usr/share/OVMF/OVMF_VARS_4M.fd"));
  expect(store.names()).toEqual([]);
});
