#!/usr/bin/env node
// Runs seeds of the simulation: `node test/simulation/model/main.mjs --seed 7 --trace`; README.md has the options.
import { register } from "node:module";

const at = process.argv.indexOf("--mutation");
register("./loader.mjs", import.meta.url, { data: { mutation: at > 0 ? process.argv[at + 1] : null } });
const { main } = await import("./cli.ts");
process.exit(await main(process.argv.slice(2)));
