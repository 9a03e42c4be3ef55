import { readFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Worker } from "node:worker_threads";

/**
 * What one case may take. Processor time is the measure of a hang: how long a case lasts by the clock says more of a busy
 * host than of our code, but no host gives code that does little a second of a processor. The clock is only there for
 * what waits without working, as for an answer that does not come; a case over real sockets is measured by it too, and
 * is given what a host with other work needs for some requests.
 */
export interface Bounds {
  processorMs: number;
  wallMs: number;
}
export const CASE: Bounds = { processorMs: 1_000, wallMs: 10_000 };

/** A case of code that never comes back can be ended from outside only, with the process. */
const STUCK_MS = 60_000;
/** What may still be held after a property or a case: whatever an input costs is given back. */
const KEPT_BYTES = 32 * 1024 * 1024;
/** The process at its largest; vitest with the product loaded has a quarter of it before the first case. */
const PEAK_BYTES = 1024 * 1024 * 1024;

/** A case took more than it may. */
export class TooMuch extends Error {}

/** Does the work, and throws `TooMuch` where it took more processor time, time or memory than one case may. */
export async function inBounds<T>(work: () => T | Promise<T>, bounds: Partial<Bounds> = {}): Promise<T> {
  return await withoutGrowth(async () => judge({ ...CASE, ...bounds }, work));
}

/** As `inBounds`, but for the memory; what is synchronous stays so. */
export function judge<T>(bounds: Bounds, work: () => T | Promise<T>): T | Promise<T> {
  const before = process.cpuUsage();
  const took = (): void => {
    const { user, system } = process.cpuUsage(before);
    const ms = Math.round((user + system) / 1000);
    if (ms > bounds.processorMs) {
      throw new TooMuch(`it took ${ms} ms of the processor, and may take ${bounds.processorMs}`);
    }
  };
  const end = watchdog();
  let result: T | Promise<T>;
  try {
    result = work();
  } catch (error) {
    end();
    throw error;
  }
  if (result instanceof Promise) return withinWall(result, bounds.wallMs).then(pass).finally(end);
  end();
  return pass(result);

  function pass(value: T): T {
    took();
    return value;
  }
}

async function withinWall<T>(work: Promise<T>, wallMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new TooMuch(`it has not ended after ${wallMs} ms`)), wallMs);
  });
  try {
    return await Promise.race([work, over]);
  } finally {
    clearTimeout(timer);
  }
}

/** Throws `TooMuch` where the work leaves more memory in use than before, or took more than a server may have. */
export async function withoutGrowth<T>(work: () => Promise<T>): Promise<T> {
  const before = inUse();
  const result = await work();
  const kept = inUse() - before;
  if (kept > KEPT_BYTES) throw new TooMuch(`it keeps ${mib(kept)} MiB, and may keep ${mib(KEPT_BYTES)}`);
  const peak = peakBytes();
  if (peak > PEAK_BYTES) throw new TooMuch(`the process had ${mib(peak)} MiB, and may have ${mib(PEAK_BYTES)}`);
  return result;
}

const mib = (bytes: number): number => Math.round(bytes / 1024 / 1024);

/** What is still reachable, on the heap and beside it. */
function inUse(): number {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Linux knows it for this program alone; elsewhere the present size has to do. */
function peakBytes(): number {
  try {
    const kib = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
    return Number(kib) * 1024;
  } catch {
    return process.memoryUsage().rss;
  }
}

/** What the thread knows of us: the case that began, or 0 between cases; and the seed of the attack. */
const beat = new Int32Array(new SharedArrayBuffer(8));
let cases = 0;
let watching = false;

const WATCH = `
const { workerData: { beat, stuckMs } } = require("node:worker_threads");
let last = 0;
let since = Date.now();
setInterval(() => {
  const now = Atomics.load(beat, 0);
  if (now !== last || now === 0) [last, since] = [now, Date.now()];
  else if (Date.now() - since > stuckMs) {
    require("node:fs").writeSync(2, "A case with PITSTOP_SEED=" + beat[1] + " has not ended after " + stuckMs + " ms; this process ends here.\\n");
    process.kill(process.pid, "SIGKILL");
  }
}, 500);
`;

/** Names the seed by which the watching thread tells what is stuck. */
export function watched(seed: number): void {
  beat[1] = seed;
}

/** Says that a case begins, and gives what says that it has ended. */
function watchdog(): () => void {
  if (!watching) {
    watching = true;
    new Worker(WATCH, { eval: true, workerData: { beat, stuckMs: STUCK_MS } }).unref();
  }
  cases += 1;
  Atomics.store(beat, 0, cases);
  return () => void Atomics.store(beat, 0, 0);
}
