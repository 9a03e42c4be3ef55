// Which test files each tier runs, and the numbers in which they differ: by their names, and by the calls of `perTier`.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const DEEP = /\.deep\.test\.ts$/;
const NUMBERS = /perTier\("([^"]+)", \{ fast: ([^,]+), deep: ([^ ]+) \}\)/g;

/** The files of a tier that one of the filters names; all of them without a filter. */
export function filesOf(root, tier, filters = []) {
  return sources(root)
    .filter((name) => name.endsWith(".test.ts") && (tier === "deep" || !DEEP.test(name)))
    .filter((name) => filters.length === 0 || filters.some((filter) => name.includes(filter)));
}

/** What `--list` prints. */
export function listed(root, filters = []) {
  const fast = filesOf(root, "fast", filters);
  const added = filesOf(root, "deep", filters).filter((name) => !fast.includes(name));
  const numbers = sources(root).flatMap((name) =>
    [...readFileSync(join(root, name), "utf8").matchAll(NUMBERS)].map(([, what, few, many]) => ({
      name,
      what,
      few,
      many,
    })),
  );
  const number = (text) => (text === "Number.POSITIVE_INFINITY" ? "all" : text.replaceAll("_", ","));
  return [
    "fast (npm test): lint, types, and",
    ...fast.map((name) => `  ${name}`),
    "in smaller numbers:",
    ...numbers.map(({ name, what, few }) => `  ${name}: ${what}: ${number(few)}`),
    "deep (npm run test:deep) adds",
    ...added.map((name) => `  ${name}`),
    ...numbers.map(({ name, what, few, many }) => `  ${name}: ${what}: ${number(many)} instead of ${number(few)}`),
  ];
}

const sources = (root) =>
  readdirSync(join(root, "test"), { recursive: true })
    .map((name) => join("test", name))
    .filter((name) => name.endsWith(".ts"))
    .sort();
