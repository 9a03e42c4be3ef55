import { spawn } from "node:child_process";
import { accessSync, constants, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { bareEnvironment } from "../../domain/environment.js";
import { PitstopError } from "../../domain/errors.js";
import type { Accelerator } from "./command.js";

/** A working KVM reaches the panic below in under 2 s. A nested or broken one hangs at its first instruction. */
const PROBE_MS = 10_000;

export interface AcceleratorChoice {
  accelerator: Accelerator;
  why: string;
}

/**
 * Software emulation unless KVM is seen to run a kernel: that /dev/kvm exists proves nothing inside a virtual machine.
 * `PITSTOP_LAB_ACCEL` decides without a probe. The probe's answer is kept in `cacheFile` until the host boots again.
 */
export async function chooseAccelerator(
  qemu: string,
  kernel: string,
  cacheFile: string,
  forced: string | undefined = process.env.PITSTOP_LAB_ACCEL,
): Promise<AcceleratorChoice> {
  if (forced === "tcg" || forced === "kvm") return { accelerator: forced, why: "PITSTOP_LAB_ACCEL says so" };
  if (forced !== undefined && forced !== "") {
    throw new PitstopError("invalid", `PITSTOP_LAB_ACCEL is "${forced}"; set it to tcg or kvm, or unset it.`);
  }
  try {
    accessSync("/dev/kvm", constants.R_OK | constants.W_OK);
  } catch {
    return { accelerator: "tcg", why: "/dev/kvm is not there or not ours to use" };
  }
  const hostBoot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  const works = readCache(cacheFile, hostBoot) ?? (await probe(qemu, kernel));
  mkdirSync(dirname(cacheFile), { recursive: true });
  writeFileSync(cacheFile, JSON.stringify({ hostBoot, works }));
  return works
    ? { accelerator: "kvm", why: "KVM ran a kernel" }
    : { accelerator: "tcg", why: `/dev/kvm exists but ran no kernel within ${PROBE_MS / 1000} s` };
}

function readCache(file: string, hostBoot: string): boolean | null {
  try {
    const cached = JSON.parse(readFileSync(file, "utf8")) as { hostBoot?: unknown; works?: unknown };
    return cached.hostBoot === hostBoot && typeof cached.works === "boolean" ? cached.works : null;
  } catch {
    return null;
  }
}

/** Boots a kernel that has no root file system: it panics, resets at once, and QEMU ends with success. */
function probe(qemu: string, kernel: string): Promise<boolean> {
  const child = spawn(
    qemu,
    [
      ...[
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-machine",
        "q35,accel=kvm",
        "-cpu",
        "host",
        "-m",
        "256",
      ],
      ...["-no-reboot", "-kernel", kernel, "-append", "panic=-1 console=ttyS0", "-serial", "stdio"],
    ],
    { stdio: ["ignore", "pipe", "ignore"], env: bareEnvironment() },
  );
  return new Promise((resolve) => {
    let booted = false;
    let tail = "";
    const done = () => {
      clearTimeout(timer);
      child.kill("SIGKILL");
      // A process stuck in the kernel must not keep this one waiting.
      child.stdout.destroy();
      child.unref();
      resolve(booted);
    };
    const timer = setTimeout(done, PROBE_MS);
    child.stdout.on("data", (chunk: Buffer) => {
      tail = (tail + chunk.toString("latin1")).slice(-4096);
      if (tail.includes("Kernel panic - not syncing")) {
        booted = true;
        done();
      }
    });
    child.once("error", done);
    child.once("exit", done);
  });
}
