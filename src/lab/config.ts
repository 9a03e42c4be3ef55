import { createHash } from "node:crypto";
import { z } from "zod";
import { Duration, Labels, Mac, Name, Uuid } from "../domain/basics.js";
import { BootVia } from "../domain/target.js";
import { FaultSpec } from "./bmc/faults/index.js";
import { ProcessFaults } from "./process/faults.js";

/** More would need more file descriptors and memory than a rehearsal is worth. */
const MAX_MACHINES = 500;

/** One machine of the lab. Only `name` is needed. */
export const LabMachineConfig = z
  .strictObject({
    name: Name,
    kind: z.enum(["qemu", "process"]).default("process"),
    firmware: z.enum(["uefi", "bios"]).default("bios"),
    /** Default: made from the name, the same at each start. */
    uuid: Uuid.optional(),
    mac: Mac.optional(),
    labels: Labels,
    /** How the target's document says that images reach it. Default: `uefi-http` and `pxe` under UEFI, `pxe` under BIOS. */
    via: z.array(BootVia).min(1).optional(),
    /** Whether a machine that the lab has never had is switched on. Later its BMC's power policy decides. */
    power: z.enum(["on", "off"]).default("on"),
    secureBoot: z.boolean().default(false),
    memoryMiB: z.number().int().min(256).max(65_536).default(512),
    /** The normal system does not react to the power button. */
    ignorePowerButton: z.boolean().default(false),
    shutdown: z
      .strictObject({ graceful: Duration.default("60s"), then: z.enum(["abort", "force"]).default("abort") })
      .default({ graceful: "60s", then: "abort" }),
    /** QEMU only: raw images of further disks, used in place. */
    extraDisks: z.array(z.string()).max(16).default([]),
    /** Faults of its BMC, injected from the start. */
    bmcFaults: z.array(FaultSpec).max(32).default([]),
    /** Faults of the machine itself; process machines only. */
    faults: ProcessFaults.partial().default({}),
  })
  .refine((machine) => machine.kind === "qemu" || !machine.via?.includes("virtual-media"), {
    message: "a process machine cannot boot a medium; make it kind: qemu, or leave virtual-media out",
    path: ["via"],
  });
export type LabMachineConfig = z.output<typeof LabMachineConfig>;

export const LabConfig = z
  .strictObject({
    machines: z.array(LabMachineConfig).min(1).max(MAX_MACHINES),
    /** Where BMCs and process machines' home checks listen. */
    listenHost: z.string().min(1).max(253).default("127.0.0.1"),
    userName: z
      .string()
      .regex(/^[a-z][a-z0-9_-]{0,15}$/, "a BMC's user is lower-case letters and digits")
      .default("admin"),
    /** How long a Redfish session may be idle. */
    sessionTimeout: Duration.default("30m"),
    /** How long the hardware takes after a Reset, as a factor on the usual 50 to 300 ms. */
    slowness: z.number().min(0).max(100).default(1),
  })
  .refine((lab) => new Set(lab.machines.map((machine) => machine.name)).size === lab.machines.length, {
    message: "every machine has a name of its own",
    path: ["machines"],
  });
export type LabConfig = z.output<typeof LabConfig>;
export type LabConfigInput = z.input<typeof LabConfig>;

/** A UUID (version 8) that is the same for a name at each start of each lab. */
export function uuidOf(name: string): string {
  const hex = createHash("sha256").update(`lab machine ${name}`).digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** A locally administered MAC address, likewise. */
export function macOf(name: string): string {
  const hex = createHash("sha256").update(`lab card ${name}`).digest("hex");
  return `52:54:${(hex.slice(0, 8).match(/../g) ?? []).join(":")}`;
}
