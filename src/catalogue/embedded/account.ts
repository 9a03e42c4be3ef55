import { execa } from "execa";
import { bareEnvironment } from "../../domain/environment.js";
import { PitstopError } from "../../domain/errors.js";
import type { Programs } from "./programs.js";

/** How PostgreSQL's programs are started, because they refuse to run as root and need an entry for their user. */
export interface Account {
  /** Goes before the program: `unshare ...`, `setpriv ...`, or nothing. */
  prefix: string[];
  /** Owner of the files that the programs make; null: this process's own user. */
  uid: number | null;
}

/** "nobody", which every password database has. */
const NOBODY = "65534";
const PROBE_TIMEOUT_MS = 10_000;

/** Seen from outside the namespace the programs run as this user, and their files are this user's. */
const IN_NAMESPACE = ["unshare", "--user", `--map-user=${NOBODY}`, `--map-group=${NOBODY}`, "--"];
/**
 * A user of their own, with one capability of root's: to reach a folder below one that only its owner may enter. They can
 * do less than this process, and their files lie below PITSTOP_DATA, which is root's alone.
 */
const AS_NOBODY = [
  ...["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"],
  ...["--bounding-set=-all,+dac_override", "--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override", "--"],
];

/**
 * Chooses how PostgreSQL runs on `folder`: as this user where it may, else in a user namespace, else as "nobody". Each
 * choice is probed, because kernels and containers forbid either. `refused` where none works.
 */
export async function chooseAccount(programs: Programs, folder: string): Promise<Account> {
  const root = process.getuid?.() === 0;
  if (!root && (await hasEntry())) return { prefix: [], uid: null };
  const choices: Account[] = [
    { prefix: IN_NAMESPACE, uid: null },
    ...(root ? [{ prefix: AS_NOBODY, uid: Number(NOBODY) }] : []),
  ];
  const failures: string[] = [];
  for (const choice of choices) {
    const failure = await probe(choice, programs, folder);
    if (failure === null) return choice;
    failures.push(`${choice.prefix[0]}: ${failure}`);
  }
  const why = root ? "PostgreSQL does not run as root" : "This user has no entry in the password database";
  throw new PitstopError(
    "refused",
    `${why}, and this machine allows no way round that (${failures.join("; ")}); start Pitstop as a user with an entry, or set DATABASE_URL.`,
  );
}

/** Whether the password database knows this process's user: initdb looks it up whatever it is told. */
async function hasEntry(): Promise<boolean> {
  const uid = process.getuid?.();
  if (uid === undefined) return true;
  const { exitCode, code } = await run(["id", "-un", String(uid)]);
  return exitCode === 0 || code === "ENOENT";
}

/** Null, or why PostgreSQL cannot be started so: the folder is looked for too, for a parent may be closed to that user. */
async function probe({ prefix }: Account, programs: Programs, folder: string): Promise<string | null> {
  const started = await run([...prefix, programs.postgres, "--version"]);
  if (started.exitCode !== 0) return started.why;
  // Not `test -x`: access(2) leaves out the capabilities of a user who is not root, which opening the folder does not.
  const reached = await run([...prefix, "ls", "-d", `${folder}/.`]);
  return reached.exitCode === 0 ? null : `${folder} cannot be reached`;
}

async function run([command = "", ...args]: string[]) {
  const { exitCode, code, stderr, message } = await execa(command, args, {
    reject: false,
    timeout: PROBE_TIMEOUT_MS,
    extendEnv: false,
    env: bareEnvironment(),
  });
  return { exitCode, code, why: stderr?.trim().split("\n").at(-1) || message?.split("\n")[0] || "no reason is known" };
}
