// npm run bench [-- --json FILE]: set-up, then scripts/bench/.
import { build } from "./build.mjs";
import { checkNode, ensureDependencies, ensureOsPackages } from "./setup.mjs";

checkNode();
ensureDependencies();
const complete = ensureOsPackages(["lab", "image", "agent"]);
await build();
const { main } = await import("./bench/bench.mjs");
await main(process.argv.slice(2), { qemu: complete.length === 3 });
process.exit();
