import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../../domain/errors.js";
import type { LabBoot } from "../machine.js";
import { AgentProcess } from "./agent-process.js";
import { isArchive, unpack } from "./archive.js";
import type { Console } from "./console.js";
import type { Downloader } from "./download.js";
import type { ProcessFaults } from "./faults.js";
import type { IpxeEnd, LoadedImage } from "./ipxe/interpreter.js";
import { bootFromNetwork, bootFromUri, type NetbootOptions, type NetbootTrace } from "./netboot.js";
import type { NormalSystem } from "./normal-system.js";

/** How long the parts of a start and a shutdown take, in milliseconds. */
export interface ProcessTiming {
  firmwareMs: number;
  /** From the disk to the answer of the home check. */
  systemMs: number;
  /** From the kernel to the agent. */
  kernelMs: number;
  shutdownMs: number;
}

/** One boot, for tests and for people: what the machine tried and where it came out. */
export interface BootRecord extends NetbootTrace {
  at: string;
  from: LabBoot["from"];
  bootId: string;
  /** `home`: the normal system runs. `image`: the agent runs. `hung`: neither, and the power is on. */
  cameOutAt: "firmware" | "home" | "image" | "hung" | "gone";
  /** Why the network boot gave up, or why the machine hangs. */
  why: string | null;
}

/** What a machine gives each of its lives. */
export interface LifeParts {
  name: string;
  uuid: string;
  macs: readonly string[];
  firmware: "uefi" | "bios";
  dir: string;
  siteUrl: string | null;
  downloader: Downloader;
  timing: ProcessTiming;
  system: NormalSystem;
  console: Console;
  faults: () => ProcessFaults;
  /** Told each time when a fault is met. */
  onFault: (fault: keyof ProcessFaults) => void;
  networkFirst: () => boolean;
  /** The machine turns itself off, or resets itself. */
  onLeave: (life: Life, how: "off" | "reset") => void;
}

/** One power-on of a process machine, from its firmware to wherever it comes out. All that it started ends with it. */
export class Life {
  readonly record: BootRecord;
  phase: "firmware" | "loader" | "home" | "image" | "hung" = "firmware";
  readonly #parts: LifeParts;
  readonly #stop = new AbortController();
  readonly #lived: Promise<void>;
  #agent: AgentProcess | null = null;

  constructor(parts: LifeParts, boot: LabBoot) {
    this.#parts = parts;
    this.record = {
      at: new Date().toISOString(),
      from: boot.from,
      bootId: randomUUID(),
      cameOutAt: "firmware",
      why: null,
      lines: [],
      downloads: [],
    };
    parts.console.begin(`power-on, ${boot.from}, ${parts.firmware}`);
    this.#lived = this.#live(boot).catch((error: unknown) => {
      if (!this.#stop.signal.aborted) this.#hang(messageOf(error));
    });
  }

  /** The power goes. Resolves when nothing of this life can write to the disk or speak to anybody any more. */
  async end(): Promise<void> {
    this.#stop.abort();
    if (this.record.cameOutAt === "firmware") this.record.cameOutAt = "gone";
    await this.#lived;
    await this.#agent?.kill();
    this.#parts.console.say("power is off");
  }

  /** Neither the firmware nor the maintenance image reacts to the button. */
  pressPowerButton(): void {
    const { timing, console } = this.#parts;
    if (this.phase !== "home" || this.#meets("ignorePowerButton")) return;
    console.say("the power button was pressed");
    this.#later(timing.shutdownMs, () => this.#leave("off"));
  }

  async #live(boot: LabBoot): Promise<void> {
    await sleep(this.#parts.timing.firmwareMs, undefined, { signal: this.#stop.signal });
    const end = await this.#choose(boot);
    switch (end?.kind) {
      case undefined:
      case "sanboot":
        return this.#bootDisk();
      case "exit":
        this.record.why = end.why;
        this.#parts.console.say(`network boot ends with status ${end.status}: ${end.why}`);
        // EFI_SUCCESS means to the firmware that something was booted and came back: it opens its setup screen.
        if (this.#parts.firmware === "uefi" && end.status === 0) this.#hang("the firmware's setup screen is open");
        else await this.#bootDisk();
        return;
      case "boot":
        return this.#bootImage(end.initrds);
      case "reboot":
        this.#leave("reset");
        return;
      case "poweroff":
        this.#leave("off");
        return;
      case "stuck":
        this.#hang(end.why);
        return;
    }
  }

  /** Null: the disk. What the firmware cannot boot it passes over. */
  async #choose(boot: LabBoot): Promise<IpxeEnd | null> {
    switch (boot.from) {
      case "disk":
        return this.#parts.networkFirst() || this.#meets("asksNetwork") ? bootFromNetwork(this.#netboot()) : null;
      case "pxe":
        return bootFromNetwork(this.#netboot());
      case "uefi-http":
        if (this.#parts.firmware === "bios") return { kind: "exit", status: 1, why: "a BIOS cannot boot from a URI" };
        if (this.#meets("noUriBoot")) return { kind: "exit", status: 1, why: "the firmware finds nothing at the URI" };
        return bootFromUri(this.#netboot(), boot.uri);
      case "cd":
        return { kind: "exit", status: 1, why: "a process machine cannot boot a medium" };
    }
  }

  #netboot(): NetbootOptions {
    const { siteUrl, downloader, firmware, macs, uuid, name } = this.#parts;
    const uefi = firmware === "uefi";
    return {
      downloader,
      bootFile: siteUrl === null ? null : `${siteUrl}/boot.ipxe`,
      settings: {
        mac: macs[0] ?? "",
        uuid,
        serial: name,
        platform: uefi ? "efi" : "pcbios",
        buildarch: uefi ? "x86_64" : "i386",
        ip: "127.0.0.1",
      },
      trace: this.record,
      onDownload: ({ url }) => this.#downloaded(url),
      signal: this.#stop.signal,
    };
  }

  async #downloaded(url: string): Promise<void> {
    this.#parts.console.say(`downloaded ${url}`);
    this.phase = "loader";
    if (!/boot\.ipxe\?/.test(url) || !this.#meets("hangsAfterScript")) return;
    this.#hang("the machine hangs after its boot script");
    await once(this.#stop.signal, "abort");
  }

  async #bootDisk(): Promise<void> {
    const { timing, system, console } = this.#parts;
    if (this.#meets("brokenDisk")) {
      this.#hang("the disk does not boot");
      return;
    }
    this.phase = "loader";
    await sleep(timing.systemMs, undefined, { signal: this.#stop.signal });
    await system.boot();
    this.#stop.signal.throwIfAborted();
    this.phase = "home";
    this.record.cameOutAt = "home";
    console.say("the normal system runs");
  }

  async #bootImage(initrds: readonly LoadedImage[]): Promise<void> {
    const { dir, faults, timing, console, uuid, macs, firmware, onFault } = this.#parts;
    this.phase = "loader";
    const root = join(dir, "image");
    await rm(root, { recursive: true, force: true });
    await mkdir(root, { recursive: true, mode: 0o700 });
    await sleep(timing.kernelMs, undefined, { signal: this.#stop.signal });
    for (const { content } of initrds) if (content && isArchive(content)) await unpack(content, root);
    if (this.#meets("noFirstContact")) {
      this.#hang("the agent does not start");
      return;
    }
    this.#stop.signal.throwIfAborted();
    const agent = await AgentProcess.start({
      ...{ root, uuid, macs, firmware },
      consoleLog: console.file,
      bootId: this.record.bootId,
      onPower: (wish) => this.#leave(wish === "off" ? "off" : "reset"),
    });
    // Known before anything else is done: end() waits for this function and then ends the agent.
    this.#agent = agent;
    this.#stop.signal.throwIfAborted();
    this.phase = "image";
    this.record.cameOutAt = "image";
    console.say("the image's agent runs");
    const { silentAfterMs, resetAfterMs } = faults();
    const later = (fault: "silentAfterMs" | "resetAfterMs", ms: number, act: () => void) =>
      this.#later(ms, () => {
        onFault(fault);
        act();
      });
    if (silentAfterMs !== null) later("silentAfterMs", silentAfterMs, () => agent.freeze());
    if (resetAfterMs !== null) later("resetAfterMs", resetAfterMs, () => this.#leave("reset"));
  }

  #hang(why: string): void {
    this.phase = "hung";
    this.record.cameOutAt = "hung";
    this.record.why = why;
    this.#parts.console.say(`hangs: ${why}`);
  }

  #meets(
    fault: "noFirstContact" | "hangsAfterScript" | "noUriBoot" | "ignorePowerButton" | "brokenDisk" | "asksNetwork",
  ): boolean {
    const met = this.#parts.faults()[fault];
    if (met) this.#parts.onFault(fault);
    return met;
  }

  #leave(how: "off" | "reset"): void {
    if (!this.#stop.signal.aborted) this.#parts.onLeave(this, how);
  }

  #later(ms: number, then: () => void): void {
    sleep(ms, undefined, { signal: this.#stop.signal }).then(then, () => {});
  }
}
