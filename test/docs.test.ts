import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { expect, it } from "vitest";

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

function linksLead(page: string): void {
  const links = [...read(page).matchAll(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g)].map((match) => match[1] ?? "");
  expect(links.filter((link) => !existsSync(resolve(root, dirname(page), link)))).toEqual([]);
}

/** It names only tests that there are, and some for each of the eleven promises. */
function reliability(): void {
  const page = read("docs/reliability.md");
  const named = [...page.matchAll(/\[(test\/[^\]]+)\]\([^)]+\): "([^"]+)"/g)].map(([, file, name]) => ({ file, name }));
  expect(named.length).toBeGreaterThan(15);
  expect(named.filter(({ file, name }) => !read(file ?? "").includes(name ?? ""))).toEqual([]);
  const rows = page.matchAll(/^\| (\d+) [^|]+\| \[test\//gm);
  expect([...rows].map(([, number]) => Number(number))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
}

/** It lists every setting and no other, and its command registers exactly the search attributes that there are. */
function running(): void {
  const page = read("docs/running.md");
  const settings = [...read("src/config.ts").matchAll(/^ {2}((?:PITSTOP|DATABASE)_[A-Z_]+):/gm)].map(
    ([, name]) => name,
  );
  const table = page
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .flatMap((line) => [...(line.split("|")[1] ?? "").matchAll(/`((?:PITSTOP|DATABASE)_[A-Z_]+)`/g)])
    .map(([, name]) => name);
  expect(settings.length).toBeGreaterThan(8);
  expect(table.sort()).toEqual(settings.sort());

  const registered = [...read("workflows/attributes.ts").matchAll(/defineSearchAttributeKey\("(\w+)"/g)].map(
    ([, name]) => name,
  );
  const command = [...page.matchAll(/--name (Pitstop\w+) --type Keyword/g)].map(([, name]) => name);
  expect(registered.length).toBeGreaterThan(3);
  expect(command.sort()).toEqual(registered.sort());
}

const MORE: Record<string, () => void> = { "docs/reliability.md": reliability, "docs/running.md": running };

it.each(pagesBelow(root))("%s links to files that are there, and names what there is", (page) => {
  linksLead(page);
  MORE[page]?.();
});
