import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

/** Another build of the program in a folder of its own, with the workflows that `edit` makes of today's. */
export function otherBuild(edit: (code: string) => string): { program: string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), "pitstop-build-"));
  for (const part of ["dist", "bin"]) cpSync(resolve(part), join(folder, part), { recursive: true });
  for (const part of ["node_modules", "images", "scripts", "package.json"]) {
    symlinkSync(resolve(part), join(folder, part));
  }
  for (const name of ["workflow-bundle.js", "workflow-bundle.sealed.js"]) {
    const file = join(folder, "dist", name);
    writeFileSync(file, edit(readFileSync(file, "utf8")));
  }
  return {
    program: join(folder, "bin", "pitstop.js"),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
