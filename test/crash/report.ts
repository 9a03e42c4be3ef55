import { type Case, type Judged, keyOfCase, nameOfCase, type Points, scenariosOf, spelled } from "./cases.js";
import type { Victim } from "./world.js";

/** What a run has come to. */
export interface Run {
  seed: number;
  victims: readonly Victim[];
  points: Record<Victim, Points>;
  judged: Judged[];
}

const isBad = (one: Judged): boolean => one.complaints.length > 0;
const isHit = (one: Judged): boolean => one.how === "hit";

/** The points at which a victim could die, and never did. */
export function neverHit({ points, judged }: Run, victim: Victim): string[] {
  const hit = new Set(judged.filter((one) => one.victim === victim && isHit(one)).map(keyOfCase));
  return [...scenariosOf(points[victim]).keys()].filter((key) => !hit.has(key)).sort();
}

export const failure = (one: Judged): string =>
  [`${nameOfCase(one)} (${one.how})`, ...one.complaints.map((line) => `    ${line}`), `  again: ${again(one)}`].join(
    "\n",
  );

const again = (one: Case): string => `node test/crash/run.mjs --victim ${one.victim} --case "${spelled(one)}"`;

export const figures = (judged: Judged[]): string => {
  const count = (how: Judged["how"]) => judged.filter((one) => one.how === how).length;
  return `${judged.length} cases, ${count("hit")} hit, ${count("idle")} idle, ${count("missed")} missed, ${judged.filter(isBad).length} failed`;
};

/** The run as Markdown: figures, the points at which nobody died, what failed and how often, and a table of it all. */
export function report(run: Run): string {
  const { seed, victims, points, judged } = run;
  const keys = [...new Set(victims.flatMap((victim) => [...scenariosOf(points[victim]).keys()]))].sort();
  const cell = (victim: Victim, key: string) => {
    if (!scenariosOf(points[victim]).has(key)) return "";
    const mine = judged.filter((one) => one.victim === victim && keyOfCase(one) === key);
    const bad = mine.filter(isBad).length;
    return `${mine.filter(isHit).length}/${mine.length}${bad ? ` (${bad} FAILED)` : ""}`;
  };
  const row = (cells: string[]) => `| ${cells.join(" | ")} |`;
  return [
    `seed ${seed}: ${keys.length} points, ${figures(judged)}`,
    "",
    ...victims.map((victim) => {
      const mine = judged.filter((one) => one.victim === victim);
      const left = mine.length > 0 ? neverHit(run, victim) : [];
      const never = left.length > 0 ? `; never hit: ${left.join(", ")}` : "";
      return `- ${victim}: ${scenariosOf(points[victim]).size} points, ${figures(mine)}${never}`;
    }),
    "",
    ...failures(judged),
    row(["point (hit/cases)", ...victims]),
    row(["---", ...victims.map(() => "---")]),
    ...keys.map((key) => row([key, ...victims.map((victim) => cell(victim, key))])),
    "",
  ].join("\n");
}

/** Each case that failed, how often it did, and what it said the last time. */
function failures(judged: Judged[]): string[] {
  const bad = new Set(judged.filter(isBad).map(nameOfCase));
  return [...bad].flatMap((name) => {
    const runs = judged.filter((one) => nameOfCase(one) === name);
    const last = runs.findLast(isBad);
    return last ? [`failed ${runs.filter(isBad).length} of ${runs.length}: ${failure(last)}`, ""] : [];
  });
}
