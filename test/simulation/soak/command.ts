import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { sessionWorkflowId } from "../../../src/domain/ids.js";
import { DOCUMENTS } from "../real/actions.js";
import { World } from "../real/world.js";

const MAX_EVENTS = 100;
const SAMPLE_MS = 5_000;

const { values } = parseArgs({
  options: { sessions: { type: "string", default: "3000" }, "at-once": { type: "string", default: "20" } },
});
const wanted = Number(values.sessions);
const names = Array.from({ length: Number(values["at-once"]) }, (_, i) => `soak-${i + 1}`);

interface Sample {
  sessions: number;
  [figure: string]: number;
}

/** MiB of the resident set, and open files, of one process. */
function figuresOf(who: string, pid: number): Record<string, number> {
  const pages = Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]);
  return { [`${who} MiB`]: pages / 256, [`${who} files`]: readdirSync(`/proc/${pid}/fd`).length };
}

/** Least squares; per 1,000 sessions. */
function slope(samples: Sample[], figure: string): number {
  const xs = samples.map((sample) => sample.sessions / 1000);
  const ys = samples.map((sample) => sample[figure] ?? 0);
  const mean = (all: number[]) => all.reduce((a, b) => a + b, 0) / all.length;
  const [mx, my] = [mean(xs), mean(ys)];
  const top = xs.reduce((sum, x, i) => sum + (x - mx) * ((ys[i] ?? 0) - my), 0);
  return top / xs.reduce((sum, x) => sum + (x - mx) ** 2, 0);
}

const world = await World.start({ machines: names.map((name) => ({ name })) }, { documents: DOCUMENTS });
const samples: Sample[] = [];
const broken: string[] = [];
let started = 0;
let done = 0;
let longest = 0;

async function oneAfterTheOther(target: string): Promise<void> {
  while (started < wanted) {
    started += 1;
    const { started: taken } = await world.client.start({ target, action: "soak", requestedBy: "the soak" });
    const session = taken[0]?.session ?? "";
    for (;;) {
      await sleep(500);
      const record = await world.client.session(session).catch(() => null);
      if (record?.ending === "stranded") broken.push(`${session}: stranded: ${record.stranded?.message}`);
      if (record?.ending === "stranded") return;
      if (!record?.endedAt) continue;
      if (record.ending !== "restored" || record.outcome !== "succeeded") {
        broken.push(`${session}: ${record.ending}, ${record.outcome}: ${record.failure?.message}`);
      }
      break;
    }
    done += 1;
    const { historyLength } = await world.temporal.workflow.getHandle(sessionWorkflowId(target), session).describe();
    longest = Math.max(longest, historyLength);
    if (historyLength >= MAX_EVENTS) broken.push(`${session} has ${historyLength} events`);
  }
}

try {
  await world.client.applyYaml(
    `kind: Action\nname: soak\nimage: noise\nmode: active\ntasks: [{name: look, script: "echo '{}'"}]\n`,
    "the soak's action",
  );
  const began = Date.now();
  const sampler = setInterval(() => {
    const { serve, temporal, lab } = world.pids;
    try {
      samples.push({
        sessions: done,
        ...figuresOf("serve", serve),
        ...figuresOf("temporal", temporal),
        ...figuresOf("lab", lab),
      });
    } catch {
      // A process that ended is in the world's trouble.
    }
  }, SAMPLE_MS);
  await Promise.all(names.map(oneAfterTheOther));
  clearInterval(sampler);
  const settled = samples.filter((sample) => sample.sessions > done / 3);
  const seconds = (Date.now() - began) / 1000;
  console.log(
    `${done} sessions in ${seconds.toFixed(0)} s, ${names.length} at once; the longest history has ${longest} events`,
  );
  for (const figure of Object.keys(samples[0] ?? {}).filter((key) => key !== "sessions")) {
    const [first, last] = [settled[0]?.[figure] ?? 0, settled.at(-1)?.[figure] ?? 0];
    const per = settled.length > 2 ? slope(settled, figure).toFixed(2) : "too few samples";
    console.log(
      `${figure.padEnd(16)} ${first.toFixed(1).padStart(9)} to ${last.toFixed(1).padStart(9)}   ${per} per 1,000 sessions`,
    );
  }
} finally {
  broken.push(...world.trouble);
  await world.close();
}
for (const line of broken.slice(0, 100)) console.log(line);
process.exit(broken.length === 0 && done > 0 ? 0 : 1);
