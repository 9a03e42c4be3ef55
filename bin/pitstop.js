#!/usr/bin/env node
import { existsSync } from "node:fs";

const main = new URL("../dist/src/cli/main.js", import.meta.url);
if (existsSync(main)) {
  const { main: run, processIo } = await import(main.href);
  process.exitCode = await run(process.argv.slice(2), processIo());
  // A command that has said its last word ends, whatever it began and gave up; but first its words go out.
  await Promise.all([process.stdout, process.stderr].map((to) => new Promise((done) => to.write("", done))));
  process.exit();
} else {
  process.stderr.write("Pitstop is not built; run npm run build.\n");
  process.exitCode = 2;
}
