// npm start: everything that a first look needs, then one maintenance session on a lab machine.
import { join } from "node:path";
import { checkNode, ensureDependencies, ensureOsPackages, root } from "./setup.mjs";

checkNode();
ensureDependencies();
const complete = ensureOsPackages(["lab", "image", "media", "agent"]);
const { build } = await import("./build.mjs");
await build();
const { start } = await import(join(root, "dist/workers/start.js"));
process.exitCode = await start(process.argv.slice(2), { qemu: complete.includes("lab") && complete.includes("image") });
if (process.argv.includes("--once")) process.exit();
