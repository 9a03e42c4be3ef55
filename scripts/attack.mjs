// npm run attack: the adversary, seed after seed, for as long as it is given; docs/reliability.md says what it attacks.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { checkNode, ensureDependencies, root } from "./setup.mjs";

const USAGE = `npm run attack -- [OPTIONS]

  --seed S      the first seed                                    (default 0)
  --hours H     how long; real seeds that have begun are played on (default 1)
  --count N     no more than so many seeds of each depth
  --depth D     model or real                                     (default both, half of the time each)
  --only        this one seed, again                              (--times N: so often)
  --story       what every seed did, not only those that failed
`;

checkNode();
ensureDependencies();
const options = {
  seed: { type: "string", default: "0" },
  hours: { type: "string", default: "1" },
  count: { type: "string" },
  depth: { type: "string" },
  only: { type: "boolean" },
  times: { type: "string" },
  story: { type: "boolean" },
  help: { type: "boolean", short: "h" },
};
let given;
try {
  given = parseArgs({ options }).values;
} catch (error) {
  console.error(`${error.message}; npm run attack -- --help lists the options.`);
  process.exit(2);
}
if (given.help) {
  process.stdout.write(USAGE);
  process.exit(0);
}
const wrong = ["seed", "count", "times"].find((name) => given[name] !== undefined && !/^\d{1,9}$/.test(given[name]));
if (wrong || !(Number(given.hours) > 0) || ![undefined, "model", "real"].includes(given.depth)) {
  process.stderr.write(USAGE);
  process.exit(2);
}
const { build } = await import("./build.mjs");
await build();

const depths = ["model", "real"].filter((depth) => given.depth === undefined || given.depth === depth);
const commands = depths.filter((depth) => existsSync(join(root, `test/simulation/${depth}/command.ts`)));
if (commands.length < depths.length) console.log(`Only the depth ${commands.join(", ") || "none"} is here.`);
const hours = Number(given.hours) / Math.max(1, commands.length);
const pass = ["seed", "count", "times"].flatMap((name) =>
  given[name] === undefined ? [] : [`--${name}`, given[name]],
);
for (const flag of ["only", "story"]) if (given[flag]) pass.push(`--${flag}`);
const broken = commands.filter((depth) => {
  const program = join(root, `test/simulation/${depth}/command.ts`);
  const args = ["--import", join(root, "scripts/typescript.mjs"), program, "--hours", String(hours), ...pass];
  return spawnSync(process.execPath, args, { stdio: "inherit", cwd: root }).status !== 0;
});
console.log(broken.length === 0 ? "no promise was broken" : `promises were broken: ${broken.join(", ")}`);
process.exit(broken.length === 0 && commands.length > 0 ? 0 : 1);
