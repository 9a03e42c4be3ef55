import { parseArgs } from "node:util";
import { boundOf, growthOf, leaks } from "./slopes.js";
import { Soak } from "./soak.js";

const { values } = parseArgs({
  options: { sessions: { type: "string", default: "3000" }, "at-once": { type: "string", default: "20" } },
});

function tell({ samples, broken }: Soak): void {
  const { sessions = 0, ...figures } = samples.at(-1) ?? {};
  const said = Object.entries(figures).map(([figure, value]) => `${figure} ${value.toFixed(0)}`);
  console.log(
    `${new Date().toISOString()} ${sessions} of ${values.sessions} sessions, ${broken.length} broken; ${said.join(", ")}`,
  );
}

const { samples, broken, done, longest, seconds } = await Soak.run({
  sessions: Number(values.sessions),
  atOnce: Number(values["at-once"]),
  sampleMs: 5_000,
  tell: { everyMs: 60_000, what: tell },
});
console.log(
  `${done} sessions in ${seconds} s, ${values["at-once"]} at once; the longest history has ${longest} events`,
);
for (const { figure, first, last, slope } of growthOf(samples)) {
  const range = `${first.toFixed(1).padStart(9)} to ${last.toFixed(1).padStart(9)}`;
  console.log(
    `${figure.padEnd(16)} ${range}   ${slope.toFixed(2)} per 1,000 sessions, at most ${boundOf(figure, done)}`,
  );
}
const wrong = [...broken, ...leaks(samples)];
for (const line of wrong.slice(0, 100)) console.log(line);
process.exit(wrong.length === 0 && done > 0 ? 0 : 1);
