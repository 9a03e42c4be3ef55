import { access, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { cacheFolder } from "../../src/cache-folder.js";

/** The newest release of each major version after 20, the one that everything else here runs on. */
export const NODE_VERSIONS = ["22.23.3", "24.21.0", "26.12.1"];

const INSTALL_MS = 5 * 60_000;

/** Ensures that release of Node.js in the cache, by npm's package for this platform, and gives the folder of its program. */
export async function nodePrograms(version: string): Promise<string> {
  const name = `node-${process.platform}-${process.arch}`;
  const kept = join(cacheFolder(), "node", version);
  const programs = join(kept, "node_modules", name, "bin");
  if (await runs(programs, version)) return programs;
  await mkdir(dirname(kept), { recursive: true });
  // Renamed when it is whole, so that neither a killed install nor one beside this one is taken for it.
  const making = await mkdtemp(`${kept}.making-`);
  try {
    const flags = ["--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
    await execa("npm", ["install", "--prefix", making, ...flags, `${name}@${version}`], {
      cwd: making,
      timeout: INSTALL_MS,
    });
    await rm(kept, { recursive: true, force: true });
    await rename(making, kept).catch(async (error: unknown) => {
      if (!(await runs(programs, version))) throw error;
    });
  } finally {
    await rm(making, { recursive: true, force: true });
  }
  if (!(await runs(programs, version))) throw new Error(`${name}@${version} does not run here`);
  return programs;
}

async function runs(programs: string, version: string): Promise<boolean> {
  const program = join(programs, "node");
  const there = await access(program).then(
    () => true,
    () => false,
  );
  return there && (await execa(program, ["--version"], { reject: false })).stdout === `v${version}`;
}
