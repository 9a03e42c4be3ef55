// npm start: everything that a first look needs, then one maintenance session on a lab machine.
import { join } from "node:path";
import { checkNode, ensureDependencies, ensureOsPackages, root } from "./setup.mjs";

checkNode();
ensureDependencies();
const complete = ensureOsPackages(["lab", "image", "media", "agent"]);
const { build } = await import("./build.mjs");
await build();
const { start } = await import(join(root, "dist/workers/start.js"));
const exit = await start(process.argv.slice(2), { qemu: complete.includes("lab") && complete.includes("image") });
// What has been stopped may leave a timer or a socket behind, and must not keep the terminal; but first its words go out.
await Promise.all([process.stdout, process.stderr].map((to) => new Promise((done) => to.write("", done))));
process.exit(exit);
