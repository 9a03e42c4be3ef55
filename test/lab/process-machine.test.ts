import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Downloader } from "../../src/lab/process/download.js";
import { HomeServer } from "../../src/lab/process/home-server.js";
import type { BootRecord } from "../../src/lab/process/life.js";
import { ProcessMachine, type ProcessMachineOptions } from "../../src/lab/process/machine.js";
import { BootServer, type BootServerOptions, SESSION_SCRIPT } from "./boot-server.js";

const UUID = "4c4c4544-0042-4810-8051-b4c04f4e4d31";
const FAST = { firmwareMs: 5, systemMs: 5, kernelMs: 5, shutdownMs: 5 };
let dir: string;
let home: HomeServer;
let site: BootServer;
let machine: ProcessMachine;
const downloader = new Downloader(null);

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "pitstop-process-"));
  home = await HomeServer.listen("127.0.0.1");
});
afterEach(async () => {
  await machine?.dispose();
  await home.close();
  await site?.stop();
  await rm(dir, { recursive: true, force: true });
});

async function create(boot: BootServerOptions = {}, options: Partial<ProcessMachineOptions> = {}): Promise<void> {
  site = await BootServer.start(boot);
  machine = await ProcessMachine.create({
    name: "p1",
    uuid: UUID,
    macs: ["52:54:00:12:34:01"],
    firmware: "bios",
    dir,
    siteUrl: site.url,
    home,
    downloader,
    timing: FAST,
    ...options,
  });
}
const answer = async (): Promise<Record<string, unknown>> =>
  (await (await fetch(machine.homeUrl)).json()) as Record<string, unknown>;
const boot = (): BootRecord => machine.boots.at(-1) as BootRecord;
const cameOutAt = (where: BootRecord["cameOutAt"]) =>
  vi.waitFor(() => expect(boot().cameOutAt).toBe(where), { timeout: 5_000 });
const heard = (event: "off" | "reset") => new Promise<void>((resolve) => machine.once(event, resolve));
/** Processes whose environment names this machine's folder. */
const processes = (): number =>
  readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/environ`, "latin1").includes(join(dir, "image"));
    } catch {
      return false;
    }
  }).length;

test("the normal system answers only while it runs, keeps its disk, and counts its boots", async () => {
  await create();
  await expect(answer()).rejects.toThrow();
  await machine.start({ from: "disk" });
  await cameOutAt("home");
  const first = await answer();
  expect(first).toMatchObject({ bootCount: 1, hostname: "p1" });
  await machine.kill();
  await expect(answer()).rejects.toThrow();
  writeFileSync(machine.userFile, "changed by its user");
  await machine.start({ from: "disk" });
  await cameOutAt("home");
  const second = await answer();
  expect(second).toMatchObject({ bootCount: 2, machineId: first.machineId });
  expect(second.bootId).not.toBe(first.bootId);
  expect(second.userFileSha256).not.toBe(first.userFileSha256);
});

test("it obeys the power button, unless it was told not to", async () => {
  await create();
  await machine.start({ from: "disk" });
  await cameOutAt("home");
  machine.injectFaults({ ignorePowerButton: true });
  await machine.pressPowerButton();
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(machine.isOn()).toBe(true);
  machine.injectFaults({ ignorePowerButton: false });
  const off = heard("off");
  await machine.pressPowerButton();
  await off;
  expect(machine.isOn()).toBe(false);
});

test("network boot asks who it is for, and fetches kernel, initrds and session whole", async () => {
  // The agent finds no server, and its lease of a second sends it home: as an image whose server is gone.
  await create({ session: { PITSTOP_LEASE_SECONDS: "1", PITSTOP_WAS_OFF: "1" } });
  const off = heard("off");
  await machine.start({ from: "pxe" });
  await cameOutAt("image");
  expect(site.requests).toEqual([
    "GET /boot.ipxe",
    `GET /boot.ipxe?platform=pcbios&mac=52-54-00-12-34-01&uuid=${UUID}&serial=p1`,
    "GET /b/n1/vmlinuz",
    "GET /b/n1/initrd0",
    "GET /b/n1/session.cpio",
  ]);
  expect(
    boot()
      .downloads.map(({ bytes }) => bytes)
      .slice(2, 4),
  ).toEqual([3_000_000, 2_000_000]);
  expect(machine.bootProgress()).toBe("OSRunning");
  await expect(answer()).rejects.toThrow();
  await off;
  expect(machine.isOn()).toBe(false);
  await vi.waitFor(() => expect(processes()).toBe(0));
});

test("pulling the plug ends the agent and all that it started", async () => {
  await create();
  await machine.start({ from: "pxe" });
  await cameOutAt("image");
  await vi.waitFor(() => expect(processes()).toBeGreaterThan(1));
  await machine.kill();
  await vi.waitFor(() => expect(processes()).toBe(0));
});

test("an agent that a killed lab left behind is ended when the machine is made again", async () => {
  await create();
  await machine.start({ from: "pxe" });
  await cameOutAt("image");
  await vi.waitFor(() => expect(processes()).toBeGreaterThan(1));
  const left = machine;
  await site.stop();
  await create();
  await vi.waitFor(() => expect(processes()).toBe(0));
  await left.dispose();
});

test.each([
  ["bios", ["exit"], "home"],
  ["bios", ["sanboot --no-describe --drive 0x80 ||", "exit"], "home"],
  ["bios", null, "home"],
  ["uefi", ["exit 1"], "home"],
  ["uefi", null, "home"],
  // EFI_SUCCESS from the network boot opens the setup screen.
  ["uefi", ["exit"], "hung"],
  ["bios", ["shell"], "hung"],
] as const)("a %s machine that is sent home by %j comes out at %s", async (firmware, script, where) => {
  await create({ script: script === null ? null : [...script] }, { firmware });
  await machine.start({ from: "pxe" });
  await cameOutAt(where);
  expect(machine.isOn()).toBe(true);
});

test("a kernel whose bytes are not those that were promised is not booted", async () => {
  await create();
  site.wrongKernel = true;
  await machine.start({ from: "pxe" });
  await cameOutAt("home");
  expect(boot().why).toBeTruthy();
  expect(boot().lines.join("\n")).toMatch(/vmlinuz: the bytes have the sha256/);
});

test("a boot server that is not there sends the machine to its disk", async () => {
  await create();
  await site.stop();
  await machine.start({ from: "pxe" });
  await cameOutAt("home");
});

test("UEFI HTTP boot asks for the size, starts the program, and goes on as iPXE does", async () => {
  await create({}, { firmware: "uefi" });
  site.script = SESSION_SCRIPT;
  await machine.start({ from: "uefi-http", uri: `${site.url}/u/s1/ipxe.efi` });
  await cameOutAt("image");
  expect(site.requests.slice(0, 3)).toEqual(["HEAD /u/s1/ipxe.efi", "GET /u/s1/ipxe.efi", "GET /boot.ipxe"]);
  await machine.kill();
  await machine.start({ from: "uefi-http", uri: `${site.url}/u/s1/other.efi` });
  await cameOutAt("home");
});

test("the network card first in the boot order is asked before the disk", async () => {
  await create({ script: ["exit"] });
  await machine.setBootOrder(["Network", "Disk"]);
  await machine.start({ from: "disk" });
  await cameOutAt("home");
  expect(site.requests).toHaveLength(2);
  await expect(machine.setBootOrder(["Disk"])).rejects.toThrow(/only while it is off/);
});

test("faults: no first contact, a hang after the script, a reset during the work, a broken disk", async () => {
  await create({}, { faults: { noFirstContact: true } });
  await machine.start({ from: "pxe" });
  await cameOutAt("hung");
  expect(boot().downloads).toHaveLength(5);
  expect(processes()).toBe(0);
  await machine.kill();
  machine.injectFaults({ noFirstContact: false, hangsAfterScript: true });
  await machine.start({ from: "pxe" });
  await cameOutAt("hung");
  expect(boot().downloads).toHaveLength(2);
  await machine.kill();
  machine.injectFaults({ hangsAfterScript: false, resetAfterMs: 100 });
  const reset = heard("reset");
  await machine.start({ from: "pxe" });
  await reset;
  machine.injectFaults({ resetAfterMs: null, brokenDisk: true });
  await machine.start({ from: "disk" });
  await cameOutAt("hung");
  await expect(answer()).rejects.toThrow();
});

test("a silent agent is frozen, and pulling the plug still ends it", async () => {
  await create({}, { faults: { silentAfterMs: 50 } });
  await machine.start({ from: "pxe" });
  await cameOutAt("image");
  await new Promise((resolve) => setTimeout(resolve, 150));
  expect(processes()).toBeGreaterThan(0);
  await machine.kill();
  await vi.waitFor(() => expect(processes()).toBe(0));
  expect(existsSync(machine.consoleLog)).toBe(true);
});

test("a machine that resets itself is on meanwhile; one whose plug is pulled then says nothing any more", async () => {
  await create({}, { faults: { resetAfterMs: 30 } });
  const powerWhenHeard: boolean[] = [];
  machine.on("reset", () => powerWhenHeard.push(machine.isOn()));
  await machine.start({ from: "pxe" });
  while (machine.bootProgress() !== "None") {
    expect(machine.isOn()).toBe(true);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await machine.kill();
  await machine.start({ from: "disk" });
  await cameOutAt("home");
  expect(powerWhenHeard.filter((on) => on)).toEqual([]);
});

test("a machine whose plug is pulled during the firmware's time starts nothing", async () => {
  await create();
  await machine.start({ from: "disk" });
  await machine.kill();
  expect(boot().cameOutAt).toBe("gone");
  await machine.start({ from: "disk" });
  await cameOutAt("home");
  expect((await answer()).bootCount).toBe(1);
});
