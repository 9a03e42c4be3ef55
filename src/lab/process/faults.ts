import { z } from "zod";

/** What can go wrong with a process machine itself, as data. Its BMC's faults are in ../bmc/faults. */
export const ProcessFaults = z.strictObject({
  /** The image starts and its agent never does. */
  noFirstContact: z.boolean().default(false),
  /** The machine hangs after it has its boot script, before the kernel. */
  hangsAfterScript: z.boolean().default(false),
  /** The firmware finds nothing to boot at a URI, and goes on to its disk. */
  noUriBoot: z.boolean().default(false),
  /** So long after its start the agent stops without a word. */
  silentAfterMs: z.number().int().min(0).max(3_600_000).nullable().default(null),
  /** So long after the agent's start the machine resets itself. */
  resetAfterMs: z.number().int().min(0).max(3_600_000).nullable().default(null),
  /** The normal system does not react to the power button. */
  ignorePowerButton: z.boolean().default(false),
  /** The disk does not boot: the machine is on and never answers home. */
  brokenDisk: z.boolean().default(false),
  /** The firmware asks the network where it was told to boot the disk. */
  asksNetwork: z.boolean().default(false),
});
export type ProcessFaults = z.infer<typeof ProcessFaults>;
export type ProcessFaultsInput = z.input<typeof ProcessFaults>;
