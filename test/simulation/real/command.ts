import { parseArgs } from "node:util";
import { EXIT, speaker } from "../speaker.js";
import { attack, explain, type SeedResult } from "./attack.js";
import { Met } from "./met.js";
import { BATCH } from "./schedule.js";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "0" },
    hours: { type: "string", default: "1" },
    count: { type: "string" },
    only: { type: "boolean", default: false },
    times: { type: "string", default: "1" },
    story: { type: "boolean", default: false },
  },
});

/** Seeds from `--seed` on in whole batches for `--hours`, or `--count` of them; `--only`: that one, `--times` over; `--story`: what the others did, too. */
const first = Number(values.seed);
const endAt = Date.now() + Number(values.hours) * 3_600_000;
const count = values.count === undefined ? Number.POSITIVE_INFINITY : Number(values.count);
const failed: SeedResult[] = [];
const trouble: string[] = [];
const met = new Met();
let played = 0;
let strandings = 0;
let playing = "";
const startedAt = Date.now();
const minutes = () => ((Date.now() - startedAt) / 60_000).toFixed(1);
const say = speaker(() => `${playing} after ${minutes()} minutes: ${failed.length} failed so far of ${played}`);

function tell(seed: SeedResult): void {
  strandings += seed.stranded.length;
  say(`seed ${seed.seed}: ${seed.broken.length === 0 ? "kept" : "BROKEN"} (${seed.outcomes.join(", ")})`);
  for (const line of seed.stranded) say(`  announced stranded: ${line}`);
  if (seed.broken.length > 0) {
    failed.push(seed);
    say(explain(seed));
  } else if (values.story) say(seed.report);
}

async function round(seeds: number[]): Promise<void> {
  const which = seeds.length === 1 ? `seed ${seeds[0]}` : `seeds ${seeds[0]} to ${seeds.at(-1)}`;
  playing = `playing ${which}`;
  const result = await attack(seeds, tell);
  played += seeds.length;
  trouble.push(...result.trouble);
  for (const line of result.trouble) say(line);
  met.add(result.met);
  say(`met in ${which}:
${result.met}`);
  say(`${which}: ${result.seconds} s, ${failed.length} failed so far of ${played}`);
}

if (values.only) {
  for (let i = 0; i < Number(values.times); i++) await round([first]);
} else {
  for (let next = first; next < first + count && Date.now() < endAt; ) {
    // Up to the batch's end: a seed meets the kills of its own batch.
    const size = Math.min(BATCH - (next % BATCH), first + count - next);
    await round(Array.from({ length: size }, (_, i) => next + i));
    next += size;
  }
}
if (played > BATCH) say(`met in all:\n${met}`);
say(
  `${played} seed${played === 1 ? "" : "s"} against real servers: ${failed.length} broke a promise (${failed.map(({ seed }) => seed).join(", ") || "none"}), ` +
    `${strandings} times a target was announced stranded and then came home, ${trouble.length} troubles with the servers`,
);
if (failed.length > 0) process.exit(EXIT.broken);
process.exit(trouble.length > 0 ? EXIT.otherwise : EXIT.kept);
