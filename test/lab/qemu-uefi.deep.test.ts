import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { LabBoot } from "../../src/lab/machine.js";
import { QemuMachine } from "../../src/lab/qemu/machine.js";
import type { QemuLab } from "../../src/lab/qemu/prepare.js";
import { BOOT_MS, consoleTail, labForTests, NetBoot, temporaryFolder, waitForHome } from "./qemu-support.js";

const UUID = "0b6e3c5a-9d1f-4c5e-8a5b-00000000eef1";
const MAC = "52:54:00:12:e1:05";

describe("a qemu machine with UEFI", { timeout: 2 * BOOT_MS }, () => {
  let lab: QemuLab;
  let netBoot: NetBoot;
  let m: QemuMachine;
  const folder = temporaryFolder();
  let boots = 0;

  beforeAll(async () => {
    lab = await labForTests();
    netBoot = await NetBoot.start(lab);
    m = await QemuMachine.create(lab, {
      ...{ name: "u1", uuid: UUID, macs: [MAC], firmware: "uefi", dir: join(folder.path, "u1") },
      siteUrl: netBoot.origin,
    });
    await m.start({ from: "disk" });
    boots = (await waitForHome(m.homeUrl)).bootCount;
    await m.kill();
  }, 15 * 60_000);
  beforeEach(({ onTestFailed }) => {
    onTestFailed(() => console.log(consoleTail(m)));
  });
  afterEach(async () => {
    await m.kill();
    netBoot.forget();
  });
  afterAll(async () => {
    await m.dispose();
    netBoot.close();
    folder.remove();
  });

  const menu = async () => ({ options: await m.bootOptions(), order: await m.bootOrder() });

  it("boots its disk by a named entry, and says what else its firmware knows", async () => {
    await m.start({ from: "disk" });
    expect(await waitForHome(m.homeUrl)).toMatchObject({ bootCount: ++boots, hostname: "u1" });
    const { options, order } = await menu();
    expect(order[0]).toBe("Boot0100");
    const byPath = Object.fromEntries(options.map((o) => [o.uefiDevicePath, o.displayName]));
    expect(byPath).toMatchObject({
      "HD(1,MBR,0x50495453,0x800,0x17800)/\\EFI\\PITSTOP\\BOOTX64.EFI": "Pitstop lab system",
      "PciRoot(0x0)/Pci(0x3,0x0)/MAC(52540012E105,0x1)/IPv4(0.0.0.0,0x0,DHCP,0.0.0.0,0.0.0.0,0.0.0.0)":
        "UEFI PXEv4 (MAC:52540012E105)",
    });
    expect(new Set(order)).toEqual(new Set(options.map((o) => o.reference)));
  });

  it.each<[string, () => LabBoot]>([
    ["a URI", () => ({ from: "uefi-http", uri: `${netBoot.guestOrigin}/snponly.efi` })],
    ["its own PXE client", () => ({ from: "pxe" })],
    ["a medium", () => ({ from: "cd" })],
  ])("boots iPXE once from %s, then its script and image, and its menu stays as it was", async (from, boot) => {
    if (from === "a medium") await m.setMedium(ipxeMedium(folder.path));
    const before = await menu();
    netBoot.script = netBoot.bootScript("reboot");
    const reset = once(m, "reset");
    await m.start(boot());
    expect(await menu()).toEqual(before);
    await reset;
    expect(netBoot.hellos).toMatchObject([{ uuid: UUID, firmware: "uefi" }]);
    expect(await menu()).toEqual(before);
    netBoot.forget();
    await m.setMedium(null);
    await m.start({ from: "disk" });
    expect(await waitForHome(m.homeUrl)).toMatchObject({ bootCount: ++boots });
    expect(netBoot.requests).toEqual([]);
    await m.kill();
    expect(await menu()).toEqual(before);
  });

  it.each<[string, string | null, string]>([
    ["a script's exit 1", "#!ipxe\nexit 1\n", "/snponly.efi"],
    ["404 for the script", null, "/snponly.efi"],
    ["404 for the URI", null, "/nothing.efi"],
  ])("goes home by %s", async (_, script, path) => {
    const before = await menu();
    netBoot.script = script;
    await m.start({ from: "uefi-http", uri: `${netBoot.guestOrigin}${path}` });
    expect(await waitForHome(m.homeUrl)).toMatchObject({ bootCount: ++boots });
    expect(netBoot.requests).toContain(path === "/snponly.efi" ? "GET /boot.ipxe" : `HEAD ${path}`);
    const off = once(m, "off");
    await m.pressPowerButton();
    await off;
    expect(await menu()).toEqual(before);
  });

  it("keeps an order that was set, as its firmware does", async () => {
    const order = await m.bootOrder();
    const changed = [...order.slice(1, 3), ...order.slice(0, 1), ...order.slice(3)];
    await m.setBootOrder(changed);
    expect(await m.bootOrder()).toEqual(changed);
    await expect(m.setBootOrder(["Boot0199"])).rejects.toThrow("no boot option Boot0199");
    await m.start({ from: "disk" });
    await waitForHome(m.homeUrl);
    boots++;
    expect(await m.bootOrder()).toEqual(changed);
    await m.kill();
    await m.setBootOrder(order);
    expect(await m.bootOrder()).toEqual(order);
  });
});

/** A CD image whose only boot entry is iPXE for UEFI: the form with its own drivers, since no card has loaded it. */
function ipxeMedium(folder: string): string {
  const tree = join(folder, "iso");
  mkdirSync(tree, { recursive: true });
  const fat = join(tree, "efi.img");
  execFileSync("truncate", ["-s", "4M", fat]);
  execFileSync("mkfs.vfat", [fat], { env: { PATH: `${process.env.PATH}:/usr/sbin` } });
  execFileSync("mmd", ["-i", fat, "::/EFI", "::/EFI/BOOT"]);
  execFileSync("mcopy", ["-i", fat, "/usr/lib/ipxe/ipxe.efi", "::/EFI/BOOT/BOOTX64.EFI"]);
  const iso = join(folder, "ipxe.iso");
  execFileSync("xorriso", ["-as", "mkisofs", "-quiet", "-e", "efi.img", "-no-emul-boot", "-o", iso, tree], {
    stdio: "ignore",
  });
  return iso;
}
