import { EventEmitter } from "node:events";
import { copyFileSync, existsSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { PitstopError } from "../../domain/errors.js";
import type { LabBoot, LabBootOption, LabMachine, LabMachineEvents } from "../machine.js";
import { BiosBootMenu } from "./bios-boot-menu.js";
import type { BootMenu } from "./boot-menu.js";
import { type Accelerator, type QemuCommand, qemuArguments } from "./command.js";
import { ConsoleLog } from "./console.js";
import { ensureMachineDisk } from "./disk.js";
import { endLeftover } from "./leftover.js";
import { bootFileUrl, ensureHomePort, ensureTftpFolder } from "./network.js";
import type { QemuLab } from "./prepare.js";
import { type QemuEnd, QemuProcess } from "./process.js";
import { UefiBootMenu } from "./uefi-boot-menu.js";

/** PCI slots 8 to 29 of the bus are free for them. */
const MAX_EXTRA_DISKS = 16;
/** A running firmware rewrites a variable in well under a millisecond. */
const MENU_READS = 5;

export interface QemuMachineOptions {
  /** A DNS label: it is the guest's host name and its SMBIOS serial number. */
  name: string;
  uuid: string;
  macs: string[];
  firmware: "uefi" | "bios";
  /** The machine's folder: disk, firmware variables, console log. What is there is kept. */
  dir: string;
  /** Origin of the operations server's targets' listener, whose `/boot.ipxe` DHCP names. Loopback is what the guest sees as 10.0.2.2. */
  siteUrl: string | null;
  /** Loopback port that leads to the guest's port 80. Default: one that is free, kept in the folder. */
  homePort?: number;
  memoryMiB?: number;
  cpus?: number;
  ignorePowerButton?: boolean;
  /** Raw images of further disks, seen by the guest as virtio disks after its own; used in place. */
  extraDisks?: string[];
  /** An i6300esb watchdog, which resets the guest that stops feeding it. */
  watchdog?: boolean;
}

/** A virtual machine with real firmware, disk, kernel and network boot. One run of QEMU is one power-on. */
export class QemuMachine extends EventEmitter<LabMachineEvents> implements LabMachine {
  readonly kind = "qemu";
  readonly name: string;
  readonly firmware: "uefi" | "bios";
  readonly uuid: string;
  readonly macs: string[];
  readonly homeUrl: string;
  readonly memoryMiB: number;
  readonly cpus: number;
  readonly consoleLog: string;
  readonly accelerator: Accelerator;
  readonly #program: string;
  readonly #command: Omit<QemuCommand, "medium" | "firmware">;
  readonly #menu: BootMenu;
  readonly #firmwareArguments: () => QemuCommand["firmware"];
  readonly #console: ConsoleLog;
  #medium: string | null = null;
  #running: QemuProcess | null = null;
  /** Power changes happen one after the other. */
  #queue: Promise<unknown> = Promise.resolve();

  /** Ensures the machine's folder and gives the machine, which is off: a QEMU that an earlier lab left behind is ended. */
  static async create(lab: QemuLab, options: QemuMachineOptions): Promise<QemuMachine> {
    const mac = options.macs[0];
    if (mac === undefined || options.macs.length > 1) {
      throw new PitstopError("invalid", `The lab machine ${options.name} needs exactly one MAC address.`);
    }
    if ((options.extraDisks?.length ?? 0) > MAX_EXTRA_DISKS) {
      throw new PitstopError("invalid", `A lab machine has at most ${MAX_EXTRA_DISKS} further disks.`);
    }
    const dir = resolve(options.dir);
    mkdirSync(dir, { recursive: true });
    await endLeftover(join(dir, "qemu.pid"));
    const disk = join(dir, "disk.img");
    const ignorePowerButton = options.ignorePowerButton ?? false;
    await ensureMachineDisk(lab.disk, disk, { hostName: options.name, ignorePowerButton });
    const homePort = await ensureHomePort(join(dir, "home-port"), options.homePort);
    return new QemuMachine(lab, options, { dir, disk, homePort, mac });
  }

  private constructor(
    lab: QemuLab,
    options: QemuMachineOptions,
    made: { dir: string; disk: string; homePort: number; mac: string },
  ) {
    super();
    const { dir, disk, homePort, mac } = made;
    this.name = options.name;
    this.firmware = options.firmware;
    this.uuid = options.uuid.toLowerCase();
    this.macs = [mac.toLowerCase()];
    this.homeUrl = `http://127.0.0.1:${homePort}/`;
    this.memoryMiB = options.memoryMiB ?? 512;
    this.cpus = options.cpus ?? 1;
    this.accelerator = lab.accelerator;
    this.consoleLog = join(dir, "console.log");
    this.#console = new ConsoleLog(this.consoleLog);
    this.#program = lab.qemu;
    const bootFile = options.siteUrl === null ? null : bootFileUrl(options.siteUrl);
    this.#command = {
      ...{ name: this.name, uuid: this.uuid, mac, memoryMiB: this.memoryMiB, cpus: this.cpus },
      ...{ accelerator: lab.accelerator, disk, homePort, bootFile, pidFile: join(dir, "qemu.pid") },
      extraDisks: (options.extraDisks ?? []).map((path) => resolve(path)),
      watchdog: options.watchdog ?? false,
      tftpFolder:
        bootFile !== null && this.firmware === "uefi"
          ? ensureTftpFolder(join(dir, "tftp"), bootFile, lab.ipxeEfi)
          : null,
    };
    if (this.firmware === "uefi") {
      const vars = join(dir, "vars.fd");
      if (!existsSync(vars)) copyFileSync(lab.ovmf.vars, vars);
      const menu = new UefiBootMenu(vars, mac);
      menu.ensureDiskEntry(disk);
      this.#menu = menu;
      this.#firmwareArguments = () => ({ kind: "uefi", code: lab.ovmf.code, vars });
    } else {
      const menu = new BiosBootMenu(join(dir, "boot-order.json"));
      this.#menu = menu;
      this.#firmwareArguments = () => ({ kind: "bios", order: menu.letters() });
    }
  }

  isOn(): boolean {
    return this.#running !== null;
  }

  /** Ensures that it runs; a machine that is on already goes on with what it does. `disk` leaves it to the boot order. */
  start(boot: LabBoot): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#running) return;
      this.#menu.arm(boot);
      this.#console.begin(`power-on, ${boot.from}, ${this.firmware}, ${this.accelerator}`);
      const firmware = this.#firmwareArguments();
      const running = await QemuProcess.start(
        this.#program,
        qemuArguments({ ...this.#command, medium: this.#medium, firmware }),
        (chunk) => this.#console.write(chunk),
      );
      this.#running = running;
      void running.ended.then((end) => this.#ended(running, end));
    });
  }

  kill(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#running?.kill();
    });
  }

  async pressPowerButton(): Promise<void> {
    await this.#running?.command("system_powerdown");
  }

  async setMedium(path: string | null): Promise<void> {
    const medium = path === null ? null : resolve(path);
    if (medium !== null && !existsSync(medium)) {
      throw new PitstopError("notFound", `There is no medium at ${medium}.`);
    }
    await this.#inTurn(async () => {
      if (this.#running) {
        // Also against a lock by the guest: so does the emergency button of a drive, and the eject of a BMC.
        await this.#running.command("eject", { id: "cd", force: true });
        if (medium !== null) {
          await this.#running.command("blockdev-change-medium", {
            ...{ id: "cd", filename: medium, format: "raw", "read-only-mode": "read-only" },
          });
        }
      }
      this.#medium = medium;
    });
  }

  bootOptions(): Promise<LabBootOption[]> {
    return this.#readMenu(() => this.#menu.options());
  }

  bootOrder(): Promise<string[]> {
    return this.#readMenu(() => this.#menu.order());
  }

  setBootOrder(references: string[]): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#running) {
        throw new PitstopError(
          "refused",
          `The boot order of ${this.name} can be set only while it is off; power it off.`,
        );
      }
      this.#menu.setOrder(references);
    });
  }

  bootProgress(): string {
    return this.#running ? this.#console.progress() : "None";
  }

  async dispose(): Promise<void> {
    this.removeAllListeners();
    await this.kill();
  }

  #ended(running: QemuProcess, end: QemuEnd): void {
    if (this.#running === running) this.#running = null;
    if (end === "died") this.#console.begin(`QEMU died: ${running.complaints}`);
    this.#menu.arm({ from: "disk" });
    if (end === "guest-reset") this.emit("reset");
    else if (end !== "killed") this.emit("off");
  }

  /** A firmware that runs may be in the middle of a write. */
  async #readMenu<T>(read: () => T): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return read();
      } catch (error) {
        if (attempt >= MENU_READS) throw error;
        await sleep(20);
      }
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(work);
    this.#queue = turn.catch(() => {});
    return turn;
  }
}
