// Builds dist/: the compiled TypeScript and the bundle of the workflows. Does nothing when dist/ is up to date.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stampFile = join(root, "dist", ".stamp");

/** A digest of everything that the build reads. */
function digestOfSources() {
  const hash = createHash("sha256");
  const add = (path) => {
    const stat = statSync(path);
    if (stat.isDirectory()) for (const name of readdirSync(path).sort()) add(join(path, name));
    else hash.update(path.slice(root.length)).update("\0").update(readFileSync(path)).update("\0");
  };
  for (const part of ["src", "workflows", "activities", "workers", "tsconfig.json", "package-lock.json"]) {
    if (existsSync(join(root, part))) add(join(root, part));
  }
  return hash.digest("hex");
}

export async function build({ quiet = false } = {}) {
  const digest = digestOfSources();
  const bundleFile = join(root, "dist", "workflow-bundle.js");
  if (existsSync(stampFile) && existsSync(bundleFile) && readFileSync(stampFile, "utf8") === digest) {
    await linkDatabase();
    return false;
  }
  if (!quiet) console.log("building");
  const tsc = spawnSync(process.execPath, [join(root, "node_modules/typescript-7/bin/tsc"), "-p", root], {
    stdio: "inherit",
  });
  if (tsc.status !== 0) throw new Error("The TypeScript build failed; its errors are above.");
  const { bundleWorkflowCode } = await import("@temporalio/worker");
  const silent = Object.fromEntries(["trace", "debug", "info", "log"].map((level) => [level, () => undefined]));
  const bundle = async (file, more = {}) => {
    const { code } = await bundleWorkflowCode({
      workflowsPath: join(root, "dist/workflows/index.js"),
      logger: { ...silent, warn: console.warn, error: console.error },
      ...more,
    });
    writeFileSync(join(root, "dist", file), code);
  };
  await bundle("workflow-bundle.js");
  // How a workflow tells a failure is part of its bundle: this one is for encrypted histories.
  await bundle("workflow-bundle.sealed.js", {
    failureConverterPath: join(root, "dist/src/temporal/sealed-failures.cjs"),
  });
  await linkDatabase();
  writeFileSync(stampFile, digest);
  return true;
}

/** The user who installs may write to node_modules; the one who serves may not. */
async function linkDatabase() {
  const { packagedFolder } = await import(join(root, "dist/src/catalogue/embedded/programs.js"));
  packagedFolder();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await build().catch((error) => {
    console.error(error.message);
    process.exit(1);
  });
}
