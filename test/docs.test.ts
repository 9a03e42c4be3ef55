import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, it } from "vitest";

const root = resolve(import.meta.dirname, "..");
const read = (path: string) => readFileSync(join(root, path), "utf8");
const LEFT_OUT = ["node_modules", "dist", ".git", ".pitstop"];

function pagesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return LEFT_OUT.includes(entry.name) ? [] : pagesBelow(path);
    return entry.name.endsWith(".md") ? [relative(root, path)] : [];
  });
}

describe("the documentation", () => {
  it.each(pagesBelow(root))("%s links to files that are there", (page) => {
    const links = [...read(page).matchAll(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g)].map((match) => match[1] ?? "");
    expect(links.filter((link) => !existsSync(resolve(root, dirname(page), link)))).toEqual([]);
  });

  it("names in reliability.md only tests that there are", () => {
    const page = read("docs/reliability.md");
    const named = [...page.matchAll(/\[(test\/[^\]]+)\]\([^)]+\): "([^"]+)"/g)].map(([, file, name]) => ({
      file,
      name,
    }));
    expect(named.length).toBeGreaterThan(15);
    expect(named.filter(({ file, name }) => !read(file ?? "").includes(name ?? ""))).toEqual([]);
  });

  it("names in reliability.md tests of each of the eleven promises", () => {
    const rows = read("docs/reliability.md").matchAll(/^\| (\d+) [^|]+\| \[test\//gm);
    expect([...rows].map(([, number]) => Number(number))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  });

  it("lists every setting, and none that there is not", () => {
    const settings = [...read("src/config.ts").matchAll(/^ {2}((?:PITSTOP|DATABASE)_[A-Z_]+):/gm)].map(
      ([, name]) => name,
    );
    const table = read("docs/running.md")
      .split("\n")
      .filter((line) => line.startsWith("| `"))
      .flatMap((line) => [...(line.split("|")[1] ?? "").matchAll(/`((?:PITSTOP|DATABASE)_[A-Z_]+)`/g)])
      .map(([, name]) => name);
    expect(settings.length).toBeGreaterThan(8);
    expect(table.sort()).toEqual(settings.sort());
  });

  it("names in the command for search attributes exactly those that are registered", () => {
    const registered = [...read("workflows/attributes.ts").matchAll(/defineSearchAttributeKey\("(\w+)"/g)].map(
      ([, n]) => n,
    );
    const command = [...read("docs/running.md").matchAll(/--name (Pitstop\w+) --type Keyword/g)].map(([, n]) => n);
    expect(registered.length).toBeGreaterThan(3);
    expect(command.sort()).toEqual(registered.sort());
  });
});
