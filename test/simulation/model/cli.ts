import { parseArgs } from "node:util";
import { FAULTS } from "./faults.js";
import { FOUND, type Found } from "./found.js";
import { MUTATIONS } from "./mutations.mjs";
import { runSeed, type Told } from "./seed.js";

type Played = Pick<Found, "seed" | "first">;
type Story = Told & Played;

/** Lines of a broken seed's story that are shown without --trace. */
const TOLD_LINES = 60;

/** Runs seeds and says what was broken. Returns the exit code: 0 where every promise was kept. */
export async function main(argv: string[]): Promise<number> {
  const { values } = parseArgs({
    args: argv,
    options: {
      seed: { type: "string", default: "1" },
      seeds: { type: "string", default: "1" },
      mutation: { type: "string" },
      trace: { type: "boolean", default: false },
      quiet: { type: "boolean", default: false },
      first: { type: "boolean", default: false },
      cut: { type: "string" },
      found: { type: "boolean", default: false },
      "until-broken": { type: "boolean", default: false },
      "list-mutations": { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
  });
  if (values["list-mutations"]) {
    for (const one of MUTATIONS) console.log(`promise ${one.promise}  ${one.name}  (seed ${one.seed})`);
    return 0;
  }
  const wanted = MUTATIONS.find((one) => one.name === values.mutation)?.promise;
  const first = Number(values.seed);
  const seeds: Played[] = values.found
    ? FOUND
    : Array.from({ length: Number(values.seeds) }, (_, i) => ({ seed: first + i, first: values.first }));
  const [who, phase = ""] = values.cut?.split(":") ?? [];
  const cut = who === "site" || who === "bmc" ? { cut: { who, phase } as const } : {};
  const startedAt = process.hrtime.bigint();
  const all: Story[] = [];
  const broken: Story[] = [];
  for (const { seed, first } of seeds) {
    const told = { ...(await runSeed(seed, { quiet: values.quiet, first, ...cut })), first };
    all.push({ ...told, story: [] });
    if (values.trace) console.log(told.story.join("\n"));
    if (!told.broken) continue;
    broken.push(told);
    if (!values.json) console.log(failure(told, values.mutation, values.trace));
    if (values["until-broken"] && (!wanted || told.broken.promise === wanted)) break;
  }
  const seconds = Number(process.hrtime.bigint() - startedAt) / 1e9;
  if (values.json) console.log(JSON.stringify(asJson(all, broken, seconds)));
  else console.log(summary(all, broken, seconds));
  return broken.length > 0 ? 1 : 0;
}

function failure(told: Story, mutation: string | undefined, whole: boolean): string {
  const lines = whole ? [] : told.story.slice(-TOLD_LINES);
  const which = `--seed ${told.seed}${told.first ? " --first" : ""}${mutation ? ` --mutation ${mutation}` : ""}`;
  const again = `node test/simulation/model/main.mjs ${which} --trace`;
  return [
    ...lines,
    `seed ${told.seed} breaks promise ${told.broken?.promise}: ${told.broken?.sentence}`,
    `again, with the whole story: ${again}`,
    "",
  ].join("\n");
}

function summary(all: Story[], broken: Story[], seconds: number): string {
  const mean = (of: (told: Told) => number) => all.reduce((sum, told) => sum + of(told), 0) / all.length;
  const hits = count(all.flatMap((told) => [...told.hits]));
  const never = all.length >= 500 ? FAULTS.filter((fault) => !hits.has(fault)) : [];
  const endings = count(all.flatMap((told) => told.endings.map((ending): [string, number] => [ending, 1])));
  return [
    `${all.length} seeds in ${seconds.toFixed(1)} s (${(all.length / seconds).toFixed(1)}/s), ` +
      `${mean((told) => told.virtualMs / 60_000).toFixed(1)} virtual minutes and ${mean((told) => told.events).toFixed(0)} events each`,
    `faults: ${FAULTS.map((fault) => `${fault} ${hits.get(fault) ?? 0}`).join(", ")}`,
    `phases: ${[...new Set(all.flatMap((told) => [...told.phases]))].join(", ")}`,
    `endings: ${[...endings].map(([ending, times]) => `${ending} ${times}`).join(", ")}`,
    ...(never.length > 0 ? [`NEVER FIRED: ${never.join(", ")}`] : []),
    broken.length === 0
      ? "every promise was kept"
      : `${broken.length} BROKEN: seeds ${broken.map((told) => told.seed).join(", ")}`,
  ].join("\n");
}

const asJson = (all: Story[], broken: Story[], seconds: number) => ({
  seconds,
  seeds: all.map(({ seed, hash, events, virtualMs }) => ({ seed, hash, events, virtualMs })),
  hits: Object.fromEntries(count(all.flatMap((told) => [...told.hits]))),
  phases: [...new Set(all.flatMap((told) => [...told.phases]))],
  broken: broken.map((told) => ({
    seed: told.seed,
    first: told.first,
    ...told.broken,
    story: told.story.slice(-TOLD_LINES),
  })),
});

function count(pairs: [string, number][]): Map<string, number> {
  const sums = new Map<string, number>();
  for (const [name, times] of pairs) sums.set(name, (sums.get(name) ?? 0) + times);
  return sums;
}
