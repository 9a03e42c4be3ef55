import type { LabMachine } from "../machine.js";
import { QemuMachine, type QemuMachineOptions } from "./machine.js";
import { prepareQemuLab, type QemuLab } from "./prepare.js";

export { QemuMachine, type QemuMachineOptions } from "./machine.js";
export { prepareQemuLab, type QemuAvailability, type QemuLab, qemuAvailable } from "./prepare.js";

/** One preparation for all machines of a process that share a cache. */
const prepared = new Map<string, Promise<QemuLab>>();

/** Ensures the shared parts in `cacheDir` and gives one machine, which is off. */
export async function createQemuMachine(options: QemuMachineOptions & { cacheDir: string }): Promise<LabMachine> {
  const { cacheDir, ...machine } = options;
  let lab = prepared.get(cacheDir);
  if (!lab) {
    lab = prepareQemuLab({ cacheDir });
    prepared.set(cacheDir, lab);
    // A failed preparation is tried again by the next machine.
    lab.catch(() => prepared.delete(cacheDir));
  }
  return await QemuMachine.create(await lab, machine);
}
