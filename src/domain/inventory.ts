import { z } from "zod";

/** The report of the action `inventory`. Units are in the names; null is «the hardware does not say». */
const text = z.string().nullable();
const count = z.number().int().nonnegative();

export const InventoryReport = z.object({
  schema: z.literal("pitstop.inventory/1"),
  firmware: z.object({
    mode: z.enum(["uefi", "bios"]),
    vendor: text,
    version: text,
    date: text,
    secureBoot: z.boolean().nullable(),
  }),
  system: z.object({ manufacturer: text, product: text, serial: text, uuid: text, board: text }),
  cpu: z.object({
    model: text,
    vendor: text,
    sockets: count,
    cores: count,
    threads: count,
    maxMHz: z.number().nullable(),
    flags: z.array(z.string()),
    vulnerabilities: z.record(z.string(), z.string()),
  }),
  memory: z.object({
    totalBytes: count,
    modules: z.array(
      z.object({
        locator: text,
        sizeBytes: count.nullable(),
        type: text,
        speedMTs: count.nullable(),
        manufacturer: text,
        partNumber: text,
      }),
    ),
  }),
  pci: z.array(
    z.object({ address: z.string(), class: z.string(), vendor: z.string(), device: z.string(), driver: text }),
  ),
  disks: z.array(
    z.object({
      name: z.string(),
      model: text,
      serial: text,
      sizeBytes: count,
      logicalBlockBytes: count,
      rotational: z.boolean().nullable(),
      removable: z.boolean(),
      /** True: the kernel refuses writes. A report from our image must say true for every disk. */
      readOnly: z.boolean(),
      transport: text,
      smart: z.object({
        available: z.boolean(),
        healthy: z.boolean().nullable(),
        temperatureC: z.number().nullable(),
        powerOnHours: count.nullable(),
      }),
      partitionTable: text,
      partitions: z.array(z.object({ name: z.string(), sizeBytes: count, filesystem: text, label: text, uuid: text })),
      bootSector: z.object({ sha256: z.string().regex(/^[0-9a-f]{64}$/), signature: z.boolean() }).nullable(),
    }),
  ),
  nics: z.array(
    z.object({
      name: z.string(),
      mac: z.string(),
      driver: text,
      link: z.boolean().nullable(),
      speedMbps: z.number().nullable(),
    }),
  ),
  /** Systems found on the target's disks, read-only. */
  installed: z.array(z.object({ device: z.string(), name: text, version: text, machineId: text, hostname: text })),
});
export type InventoryReport = z.infer<typeof InventoryReport>;
