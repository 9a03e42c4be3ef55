import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { vi } from "vitest";
import { cacheFolder } from "../../src/cache-folder.js";
import { takeLock } from "../../src/process-lock.js";

const INSTALL_MS = 5 * 60_000;

/**
 * Ensures Python packages in a virtual environment of that name in the cache, and gives its folder of programs. A lock keeps two test
 * files from making one environment at once.
 */
export async function pythonPrograms(name: string, packages: string[]): Promise<string> {
  const venv = join(cacheFolder(), name);
  mkdirSync(cacheFolder(), { recursive: true });
  const lock = () => takeLock(`${venv}.lock`, "This environment", "another cache");
  const release = await vi.waitFor(lock, { timeout: 2 * INSTALL_MS, interval: 200 });
  try {
    return await ensure(venv, packages);
  } finally {
    release();
  }
}

async function ensure(venv: string, packages: string[]): Promise<string> {
  const programs = join(venv, "bin");
  // Says what is in there; written last, so that one that was not finished has none.
  const list = join(venv, "installed.txt");
  const wanted = packages.join("\n");
  if (existsSync(list) && readFileSync(list, "utf8") === wanted && (await runs(join(programs, "python3")))) {
    return programs;
  }
  await execa("python3", ["-m", "venv", "--clear", venv], { timeout: INSTALL_MS });
  await execa(join(programs, "pip"), ["install", "--quiet", ...packages], { timeout: INSTALL_MS });
  writeFileSync(list, wanted);
  return programs;
}

/** A cache outlives the Python that it was made with. */
async function runs(python: string): Promise<boolean> {
  return (await execa(python, ["-c", ""], { reject: false })).exitCode === 0;
}
