import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, it } from "vitest";

const root = resolve(import.meta.dirname, "../..");

it("the page on security names, for its claims, tests that are there and are not left out", () => {
  const page = readFileSync(join(root, "docs/security.md"), "utf8");
  // Each file that is named for a claim, with the titles that follow it in quotes.
  const named = [...page.matchAll(/`(test\/[\w/.-]+\.test\.ts)`: ((?:"[^"]+"(?:, | and )?)+)/g)].flatMap(
    ([, file = "", titles = ""]) => [...titles.matchAll(/"([^"]+)"/g)].map(([, title = ""]) => ({ file, title })),
  );
  expect(named.length).toBeGreaterThan(25);
  const files = [...page.matchAll(/`(test\/[^`]+)`/g)].map(([, file]) => file);
  expect(files.filter((file) => !named.some((one) => one.file === file))).toEqual([]);
  const wrong = named.flatMap(({ file, title }) => {
    if (!existsSync(join(root, file))) return [`${file} is not there`];
    const text = readFileSync(join(root, file), "utf8");
    return [
      ...(text.includes(`"${title}"`) ? [] : [`${file} has no test "${title}"; correct docs/security.md`]),
      ...(/\b(it|test|describe)\.(skip|todo|only)\b/.test(text) ? [`${file} leaves tests out`] : []),
    ];
  });
  expect(wrong).toEqual([]);
});
