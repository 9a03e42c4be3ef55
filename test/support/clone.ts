import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

/** What a clone does not have, or what would be copied for nothing. */
const NOT_CLONED = new Set(["node_modules", "dist", ".git", ".cache", ".pitstop"]);

/** A fresh clone of this repository in a new folder, after its `npm ci`, before its first build. */
export function cloneTo(clone: string): void {
  cpSync(resolve("."), clone, { recursive: true, filter: (path) => !NOT_CLONED.has(path.split("/").at(-1) ?? "") });
  linkDependencies(clone);
}

/** The packages that are installed here, as `npm ci` would leave them: each by a link, so that the clone cannot change them. */
function linkDependencies(clone: string): void {
  const [from, to] = [resolve("node_modules"), join(clone, "node_modules")];
  mkdirSync(to);
  for (const name of readdirSync(from)) if (!name.startsWith(".pitstop")) symlinkSync(join(from, name), join(to, name));
  const lock = createHash("sha256")
    .update(readFileSync(join(clone, "package-lock.json")))
    .digest("hex");
  writeFileSync(join(to, ".pitstop-lock"), lock);
}
