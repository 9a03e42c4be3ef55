import { readdirSync, readFileSync } from "node:fs";

const TICKS_PER_SECOND = 100;

/** The value below which `share` of the numbers lie (nearest rank). */
export function percentile(numbers, share) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

/** Processor seconds of a process, and of its children that have ended (proc(5), stat, fields 14 to 17). */
export function cpuSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS_PER_SECOND;
}

/** Resident memory of a process, MiB. */
export function residentMiB(pid) {
  const line = readFileSync(`/proc/${pid}/status`, "utf8")
    .split("\n")
    .find((text) => text.startsWith("VmRSS:"));
  return Number(line?.replace(/\D/g, "")) / 1024;
}

export const openHandles = (pid) => readdirSync(`/proc/${pid}/fd`).length;
