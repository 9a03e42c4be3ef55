import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { execa } from "execa";
import { cacheFolder } from "../src/cache-folder.js";
import type { Config } from "../src/config.js";
import { bareEnvironment } from "../src/domain/environment.js";
import { PitstopError } from "../src/domain/errors.js";
import { prepareQemuLab, qemuAvailable } from "../src/lab/qemu/index.js";
import { findTemporal } from "../src/temporal/binary.js";
import { configuredAddress } from "../src/temporal/connect.js";
import type { Say } from "../src/temporal/say.js";

/** The repository's root, seen from workers/ and from dist/workers/. */
export const root = ["..", "../.."]
  .map((up) => resolve(import.meta.dirname, up))
  .find((folder) => existsSync(join(folder, "images", "base"))) as string;

export interface BuiltImage {
  folder: string;
  kernel: string;
  initrd: string;
}

/** Ensures the base maintenance image in the cache, keyed by its recipe. */
export async function prepareBaseImage(
  say: Say,
  variant: Config["PITSTOP_BASE_IMAGE"] = "cloud",
  signal?: AbortSignal,
): Promise<BuiltImage> {
  const recipe = join(root, "images", "base");
  const folder = join(cacheFolder(), "images", `base-${variant}-${digestOfFolder(recipe).slice(0, 16)}`);
  const built = { folder, kernel: join(folder, "vmlinuz"), initrd: join(folder, "initrd") };
  if (existsSync(join(folder, "manifest.json"))) return built;
  say(`building the base maintenance image (${variant}) from Debian packages`);
  await mkdir(folder, { recursive: true });
  const run = await execa(
    join(recipe, "build"),
    ["--variant", variant, "--out", folder, "--cache", join(cacheFolder(), "debs")],
    {
      ...{ reject: false, all: true, timeout: 15 * 60_000, extendEnv: false, env: bareEnvironment() },
      ...(signal ? { cancelSignal: signal } : {}),
    },
  );
  if (run.exitCode !== 0) {
    const last = (run.all ?? "").trim().split("\n").slice(-3).join(" / ");
    throw new PitstopError("unreachable", `The base image could not be built: ${last}`);
  }
  return built;
}

/** Everything that a start or a test run needs, each said and done once. */
export async function prepareAll(say: Say): Promise<void> {
  if (!configuredAddress()) await findTemporal(cacheFolder(), say);
  await prepareBaseImage(say);
  if (qemuAvailable().available) await prepareQemuLab({ cacheDir: cacheFolder(), log: say });
}

function digestOfFolder(folder: string): string {
  const hash = createHash("sha256");
  const add = (path: string) => {
    if (statSync(path).isDirectory()) for (const name of readdirSync(path).sort()) add(join(path, name));
    else hash.update(path.slice(folder.length)).update(readFileSync(path));
  };
  add(folder);
  return hash.digest("hex");
}
