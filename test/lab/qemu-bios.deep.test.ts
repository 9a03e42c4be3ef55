import { createHash } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { QemuMachine, type QemuMachineOptions } from "../../src/lab/qemu/machine.js";
import type { QemuLab } from "../../src/lab/qemu/prepare.js";
import { askHome, BOOT_MS, labForTests, NetBoot, temporaryFolder, until, waitForHome } from "./qemu-support.js";

const UUID = "0b6e3c5a-9d1f-4c5e-8a5b-000000000b10";

describe("a qemu machine with BIOS", { timeout: 2 * BOOT_MS }, () => {
  let lab: QemuLab;
  let netBoot: NetBoot;
  const folder = temporaryFolder();
  const machines: QemuMachine[] = [];

  beforeAll(async () => {
    lab = await labForTests();
    netBoot = await NetBoot.start(lab);
  }, 15 * 60_000);
  afterEach(async () => {
    for (const machine of machines.splice(0)) await machine.dispose();
    netBoot.forget();
  });
  afterAll(() => {
    netBoot.close();
    folder.remove();
  });

  async function machine(name: string, options: Partial<QemuMachineOptions> = {}): Promise<QemuMachine> {
    const made = await QemuMachine.create(lab, {
      ...{ name, uuid: UUID, macs: ["52:54:00:12:b1:05"], firmware: "bios", dir: join(folder.path, name) },
      ...{ siteUrl: netBoot.origin, ...options },
    });
    machines.push(made);
    return made;
  }

  it("keeps its identity, its count of boots and a user's file over power-offs and pulled plugs", async () => {
    const m = await machine("keeps");
    await m.start({ from: "disk" });
    const first = await waitForHome(m.homeUrl);
    expect(first).toMatchObject({ bootCount: 1, hostname: "keeps" });
    expect(first.machineId).toMatch(/^[0-9a-f]{32}$/);
    expect(m.bootProgress()).toBe("OSRunning");
    const text = "what a user wrote\n";
    await fetch(`${m.homeUrl}cgi-bin/notes`, { method: "POST", body: text });

    const off = once(m, "off");
    await m.pressPowerButton();
    await off;
    expect(m.isOn()).toBe(false);
    expect(m.bootProgress()).toBe("None");

    await m.start({ from: "disk" });
    const second = await waitForHome(m.homeUrl);
    const userFileSha256 = createHash("sha256").update(text).digest("hex");
    expect(second).toMatchObject({ machineId: first.machineId, bootCount: 2, userFileSha256 });
    expect(second.bootId).not.toBe(first.bootId);

    await m.kill();
    await m.kill();
    expect(m.isOn()).toBe(false);
    // A machine of the same folder is the same machine: the lab was started again.
    const again = await machine("keeps");
    expect(again.homeUrl).toBe(m.homeUrl);
    await again.start({ from: "disk" });
    expect(await waitForHome(again.homeUrl)).toMatchObject({
      machineId: first.machineId,
      bootCount: 3,
      userFileSha256,
    });
  });

  it("may be told to ignore the power button, and then runs until the plug is pulled", async () => {
    const m = await machine("ignores", { ignorePowerButton: true });
    await m.start({ from: "disk" });
    await waitForHome(m.homeUrl);
    await m.pressPowerButton();
    await sleep(3000);
    expect(await askHome(m.homeUrl)).toMatchObject({ bootCount: 1 });
    expect(m.isOn()).toBe(true);
    await m.kill();
    expect(await askHome(m.homeUrl)).toBeNull();
  });

  it("boots what the boot server says, tells of the guest's reset, and then has its disk as it was", async () => {
    const m = await machine("netboots");
    netBoot.script = netBoot.bootScript("reboot");
    const reset = once(m, "reset");
    await m.start({ from: "pxe" });
    await reset;
    expect(m.isOn()).toBe(false);
    expect(netBoot.hellos).toMatchObject([{ uuid: UUID, firmware: "bios" }]);
    netBoot.forget();
    await m.start({ from: "disk" });
    expect(await waitForHome(m.homeUrl)).toMatchObject({ bootCount: 1 });
    expect(netBoot.requests).toEqual([]);
  });

  it.each([
    ["a script that exits", "#!ipxe\nexit\n"],
    ["404", null],
  ])("goes home by %s", async (_, script) => {
    const m = await machine("goes-home");
    netBoot.script = script;
    await m.start({ from: "pxe" });
    await waitForHome(m.homeUrl);
    expect(netBoot.requests).toContain("GET /boot.ipxe");
  });

  it("boots a medium that was put in while it was off, and another that was put in while it ran", async () => {
    const m = await machine("has-a-drive");
    await m.setMedium("/usr/lib/ipxe/ipxe.iso");
    netBoot.script = "#!ipxe\nexit\n";
    await m.start({ from: "cd" });
    await until(() => (netBoot.requests.includes("GET /boot.ipxe") ? true : null), "iPXE from the medium");
    await m.setMedium(null);
    await m.setMedium("/usr/lib/ipxe/ipxe.iso");
    await m.setMedium(null);
    await m.kill();
    netBoot.forget();
    await m.start({ from: "cd" });
    await waitForHome(m.homeUrl);
    expect(netBoot.requests).toEqual([]);
    await expect(m.setMedium("/nowhere.iso")).rejects.toThrow("no medium");
  });

  it("starts in the order that was set, and refuses what a BIOS has not", async () => {
    const m = await machine("has-an-order");
    expect(await m.bootOrder()).toEqual(["Disk", "Network", "Cd"]);
    await m.setBootOrder(["Network", "Disk", "Cd"]);
    await expect(m.setBootOrder(["Floppy"])).rejects.toThrow("no boot option Floppy");
    await expect(m.start({ from: "uefi-http", uri: "http://10.0.2.2/x" })).rejects.toThrow(
      "BIOS cannot boot from a URI",
    );
    netBoot.script = "#!ipxe\nexit\n";
    await m.start({ from: "disk" });
    await expect(m.setBootOrder(["Disk"])).rejects.toThrow("while it is off");
    await waitForHome(m.homeUrl);
    expect(netBoot.requests).toContain("GET /boot.ipxe");
  });
});
