// npm run attack: the adversary, seed after seed, for as long as it is given; docs/reliability.md says what it attacks.
import { spawn } from "node:child_process";
import { once } from "node:events";
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

It says how it goes at least once a minute, and ends with 0: no promise was broken; 1: one was; 3: something else went wrong.
`;
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

/** Ends here when the arguments are wrong, or help is all that is wanted. */
function read() {
  let given;
  try {
    given = parseArgs({ options }).values;
  } catch (error) {
    refuse(error.message);
  }
  if (given.help) {
    process.stdout.write(USAGE);
    process.exit(0);
  }
  if (!/^\d{1,9}$/.test(given.seed)) refuse(`--seed ${given.seed} is not a whole number.`);
  for (const name of ["count", "times"]) {
    const value = given[name];
    if (value !== undefined && !/^[1-9]\d{0,8}$/.test(value))
      refuse(`--${name} ${value} is not a whole number from 1 on.`);
  }
  if (!(Number(given.hours) > 0)) refuse(`--hours ${given.hours} is not a number above 0.`);
  if (![undefined, "model", "real"].includes(given.depth)) refuse(`--depth ${given.depth} is neither model nor real.`);
  if (given.times !== undefined && !given.only) refuse("--times goes with --only.");
  return given;
}

function refuse(why) {
  process.stderr.write(`${why}\n\n${USAGE}`);
  process.exit(2);
}

const WORDS = { 0: "no promise was broken", 1: "a promise was broken; above is how to play it again" };
const wordsOf = (code) => WORDS[code] ?? "no promise was broken, but something else went wrong; it is said above";

const given = read();
checkNode();
ensureDependencies();
const depths = ["model", "real"].filter((depth) => given.depth === undefined || given.depth === depth);
const commands = depths.filter((depth) => existsSync(join(root, `test/simulation/${depth}/command.ts`)));
if (commands.length < depths.length) console.log(`Only the depth ${commands.join(", ") || "none"} is here.`);
// Virtual time loads the sources as they are.
if (commands.includes("real")) await (await import("./build.mjs")).build();
const hours = Number(given.hours) / Math.max(1, commands.length);
const pass = ["seed", "count", "times"].flatMap((name) =>
  given[name] === undefined ? [] : [`--${name}`, given[name]],
);
for (const flag of ["only", "story"]) if (given[flag]) pass.push(`--${flag}`);

// An interrupt is the command's: it says what was met so far, and ends by itself.
let interrupted = false;
process.on("SIGINT", () => {
  interrupted = true;
});
const codes = [];
for (const depth of commands) {
  if (interrupted) break;
  const program = join(root, `test/simulation/${depth}/command.ts`);
  const args = ["--import", join(root, "scripts/typescript.mjs"), program, "--hours", String(hours), ...pass];
  const [code] = await once(spawn(process.execPath, args, { stdio: "inherit", cwd: root }), "exit");
  codes.push(interrupted && code !== 1 ? 130 : (code ?? 3));
}
for (const [i, code] of codes.entries()) console.log(`${commands[i]}: ${code === 130 ? "interrupted" : wordsOf(code)}`);
process.exit(codes.includes(1) ? 1 : (codes.find((code) => code !== 0) ?? (commands.length > 0 ? 0 : 3)));
