import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";

const root = resolve(import.meta.dirname, "../..");
const page = readFileSync(join(root, "docs/security.md"), "utf8");

/** Each file that is named for a claim, with the titles that follow it in quotes. */
const named = [...page.matchAll(/`(test\/[\w/.-]+\.test\.ts)`: ((?:"[^"]+"(?:, | and )?)+)/g)].flatMap(
  ([, file = "", titles = ""]) => [...titles.matchAll(/"([^"]+)"/g)].map(([, title = ""]) => ({ file, title })),
);

describe("the page on security", () => {
  it("names a test for its claims", () => {
    expect(named.length).toBeGreaterThan(25);
    const files = [...page.matchAll(/`(test\/[^`]+)`/g)].map(([, file]) => file);
    expect(files.filter((file) => !named.some((one) => one.file === file))).toEqual([]);
  });

  it.each(named)("names $file: $title, which is there", ({ file, title }) => {
    expect(existsSync(join(root, file)), `${file} is not there`).toBe(true);
    const text = readFileSync(join(root, file), "utf8");
    expect(text.includes(`"${title}"`), `${file} has no test with this title; correct docs/security.md`).toBe(true);
    expect(text).not.toMatch(/\b(it|test|describe)\.(skip|todo|only)\b/);
  });
});
