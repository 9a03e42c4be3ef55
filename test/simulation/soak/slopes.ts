import { readdirSync, readFileSync } from "node:fs";

export interface Sample {
  sessions: number;
  [figure: string]: number;
}

/** MiB of the resident set, and open files, of one process. */
export function figuresOf(who: string, pid: number): Record<string, number> {
  const pages = Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]);
  return { [`${who} MiB`]: pages / 256, [`${who} files`]: readdirSync(`/proc/${pid}/fd`).length };
}

export interface Growth {
  figure: string;
  first: number;
  last: number;
  /** Per 1,000 sessions. */
  slope: number;
}

/** Of each figure over the last two thirds: what a server opens and keeps when it has much to do for the first time is no growth. */
export function growthOf(samples: Sample[]): Growth[] {
  const done = samples.at(-1)?.sessions ?? 0;
  const settled = samples.filter(({ sessions }) => sessions > done / 3);
  const figures = Object.keys(samples[0] ?? {}).filter((key) => key !== "sessions");
  return figures.map((figure) => ({
    figure,
    first: settled[0]?.[figure] ?? 0,
    last: settled.at(-1)?.[figure] ?? 0,
    slope: slope(settled, figure),
  }));
}

/** Least squares. */
function slope(samples: Sample[], figure: string): number {
  const xs = samples.map((sample) => sample.sessions / 1000);
  const ys = samples.map((sample) => sample[figure] ?? 0);
  const mean = (all: number[]) => all.reduce((a, b) => a + b, 0) / all.length;
  const [mx, my] = [mean(xs), mean(ys)];
  const top = xs.reduce((sum, x, i) => sum + (x - mx) * ((ys[i] ?? 0) - my), 0);
  return top / xs.reduce((sum, x) => sum + (x - mx) ** 2, 0);
}

/** From so many on a slope of memory says something: below, what the collector has not yet collected is all of it. */
const MEMORY_FROM = 1_000;
/** Fewer samples make no line. */
const MIN_SAMPLES = 8;

/**
 * The steepest slope per 1,000 sessions that is no leak.
 *
 * Files: one handle that each session leaves open is 1,000. Pools and connections that are kept alive come and go by one or two for each
 * session that runs beside others: some 20 files, which over two thirds of 100 sessions may look like 300, and over those of 3,000 like 10.
 * So a short soak finds a handle for every other session, and a long one a handle for every twentieth.
 *
 * MiB: a session that is kept whole, with plan, snapshot, record and history, is some 100 KiB, which is 100. The server is made to collect
 * every ten seconds: left to itself on a large host it once had 200 MiB more for a while, of which a collection left nothing. What noise is
 * left is less than 20 over two thirds of 3,000 sessions. Temporal keeps its own caches, of histories and of pages of its database,
 * which are bounded by megabytes and not by sessions: it is given twice as much.
 */
export function boundOf(figure: string, sessions: number): number {
  if (figure.endsWith("files")) return sessions < MEMORY_FROM ? 500 : 50;
  if (sessions < MEMORY_FROM) return Number.POSITIVE_INFINITY;
  return figure.startsWith("temporal") ? 100 : 50;
}

/** What grows more than it may, in sentences. */
export function leaks(samples: Sample[]): string[] {
  const done = samples.at(-1)?.sessions ?? 0;
  const settled = samples.filter(({ sessions }) => sessions > done / 3).length;
  if (settled < MIN_SAMPLES) return [`${settled} samples of the last two thirds are too few to judge what grows`];
  return growthOf(samples).flatMap(({ figure, slope: per }) => {
    const bound = boundOf(figure, done);
    if (per <= bound) return [];
    return [`${figure} grow by ${per.toFixed(0)} per 1,000 sessions, and may by ${bound}`];
  });
}
