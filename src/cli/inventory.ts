import { InventoryReport } from "../domain/inventory.js";
import type { SessionRecord } from "../domain/record.js";
import type { Io } from "./io.js";
import { facts, paint, plain } from "./output.js";

/** A storage server has some dozens of disks; a summary that scrolls away is none. `-o json` has all. */
const MOST_LINES = 12;

type Disk = InventoryReport["disks"][number];

/** What the machine is made of and which system is on it, by the session's inventory; empty where there is none. */
export function inventorySummary(io: Io, record: Pick<SessionRecord, "findings">): string {
  const report = Object.values(record.findings ?? {})
    .map((finding) => InventoryReport.safeParse(finding))
    .find(({ success }) => success)?.data;
  if (!report) return "";
  const { disks, installed, nics } = report;
  const pairs: [string, string[]][] = [
    ["machine", [machine(report)]],
    ["firmware", [firmware(report)]],
    ["processors", [processors(report)]],
    ["memory", [memory(report)]],
    [
      "disks",
      disks.length === 0 ? ["none"] : few(columns(disks.map(diskCells)).map((line, i) => mark(io, line, disks[i]))),
    ],
    [
      "network",
      few(
        columns(
          nics.map(({ name, mac, driver, link, speedMbps }) => [name, mac, driver ?? "", sayLink(link, speedMbps)]),
        ),
      ),
    ],
    ["system", installed.length === 0 ? ["none was found on the disks"] : few(installed.map(system))],
  ];
  return facts(
    io,
    pairs.flatMap(([label, lines]) => (lines.length === 0 ? [] : [[label, lines.join("\n")]])),
  );
}

const words = (...parts: (string | null | false | undefined)[]): string =>
  plain(parts.filter((part) => part !== null && part !== false && part !== undefined && part.trim() !== "").join(" "));

const list = (...parts: (string | null | false | undefined)[]): string =>
  plain(parts.filter((part) => part !== null && part !== false && part !== undefined && part !== "").join(", "));

function machine({ system }: InventoryReport): string {
  const name = words(system.manufacturer, system.product) || "the hardware does not say";
  return list(name, system.serial && `serial number ${system.serial}`);
}

function firmware({ firmware: { mode, vendor, version, date, secureBoot } }: InventoryReport): string {
  const name = words(mode === "uefi" ? "UEFI" : "BIOS", vendor, version);
  return list(date ? `${name} of ${date}` : name, secureBoot !== null && `Secure Boot ${secureBoot ? "on" : "off"}`);
}

function processors({ cpu }: InventoryReport): string {
  const name = words(cpu.sockets > 1 && `${cpu.sockets} ×`, cpu.model ?? cpu.vendor ?? "of a model that is not told");
  const fastest = cpu.maxMHz !== null && cpu.maxMHz > 0 && `up to ${(cpu.maxMHz / 1000).toFixed(1)} GHz`;
  return list(name, count(cpu.cores, "core"), count(cpu.threads, "thread"), fastest);
}

/** Equal modules are told once. */
function memory({ memory: { totalBytes, modules } }: InventoryReport): string {
  const kinds = new Map<string, number>();
  for (const { sizeBytes, type, speedMTs } of modules) {
    if (sizeBytes === null) continue;
    const kind = words(binary(sizeBytes), type, speedMTs !== null && `at ${speedMTs} MT/s`);
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  return list(`${binary(totalBytes)} usable`, ...[...kinds].map(([kind, n]) => `${n} × ${kind}`));
}

function diskCells(disk: Disk): string[] {
  const { name, sizeBytes, transport, model, rotational, partitionTable, partitions } = disk;
  const holds = partitions.map((part) => words(part.name, decimal(part.sizeBytes), part.filesystem));
  const kind = words(transport, rotational === null ? null : rotational ? "rotating" : "solid");
  return [
    name,
    decimal(sizeBytes),
    kind,
    words(model),
    list(...unusual(disk), partitionTable ?? "no partitions", ...holds),
  ];
}

/** Each disk is read-only in an image of ours; the simulated lab machine's disks are this host's. */
const unusual = ({ smart, readOnly }: Disk): string[] => [
  ...(smart.healthy === false ? ["FAILING"] : []),
  ...(readOnly ? [] : ["writable"]),
];

const mark = (io: Io, line: string, disk: Disk | undefined): string =>
  disk?.smart.healthy === false ? paint(io, "red", line) : line;

const system = ({ device, name, version, hostname }: InventoryReport["installed"][number]): string =>
  list(`${words(name ?? "a system without a name", version)} on ${device}`, hostname && `host name ${hostname}`);

const sayLink = (link: boolean | null, mbps: number | null): string =>
  link === null
    ? ""
    : link
      ? words("link up", mbps !== null && mbps > 0 && (mbps < 1000 ? `${mbps} Mbit/s` : `${mbps / 1000} Gbit/s`))
      : "no link";

function few(lines: string[]): string[] {
  return lines.length <= MOST_LINES
    ? lines
    : [...lines.slice(0, MOST_LINES - 1), `and ${lines.length - MOST_LINES + 1} more`];
}

/** Cells of each line in columns; a column without anything takes no room. */
function columns(rows: string[][]): string[] {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  return rows.map((row) =>
    row
      .flatMap((cell, i) => (widths[i] === 0 ? [] : [plain(cell).padEnd(widths[i] ?? 0)]))
      .join("  ")
      .trimEnd(),
  );
}

const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;

/** As makers of memory count. */
const binary = (bytes: number): string => scaled(bytes, 1024, ["B", "KiB", "MiB", "GiB", "TiB"]);

/** As makers of disks count. */
const decimal = (bytes: number): string => scaled(bytes, 1000, ["B", "kB", "MB", "GB", "TB", "PB"]);

function scaled(bytes: number, step: number, units: string[]): string {
  let value = bytes;
  let unit = 0;
  for (; value >= step && unit < units.length - 1; unit++) value /= step;
  // 1.9 TB, but 960 GB; never 1.0.
  return `${Number(value.toFixed(value < 10 ? 1 : 0))} ${units[unit]}`;
}
