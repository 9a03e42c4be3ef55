import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Catalogue } from "../../src/catalogue/catalogue.js";
import { lookAtEmbedded } from "../../src/catalogue/embedded/look.js";
import { findPrograms } from "../../src/catalogue/embedded/programs.js";
import { openCatalogue } from "../../src/catalogue/sql-catalogue.js";
import { isRunning } from "../../src/processes.js";
import { until } from "../support/operations.js";
import { target } from "./samples.js";

const root = resolve(import.meta.dirname, "../..");
const isRoot = process.getuid?.() === 0;

let folder: string;
let data: string;
const opened: Catalogue[] = [];
const children: ChildProcess[] = [];
beforeEach(() => {
  // A short path: that of a socket has a bound of its own.
  folder = mkdtempSync("/tmp/pitstop-db-");
  data = join(folder, "data");
});
/** A database that was made and stopped: making one writes 40 MB, which only the tests of that need. */
let made: string;
beforeAll(async () => {
  made = mkdtempSync("/tmp/pitstop-db-");
  await (await openCatalogue({ data: made })).close();
});
afterAll(() => rmSync(made, { recursive: true, force: true }));
/** By cp: cpSync of Node.js 22 and later gives folders another mode, which PostgreSQL refuses. */
function copyMade(to = data): void {
  mkdirSync(dirname(to), { recursive: true });
  execFileSync("cp", ["-a", made, to]);
}

afterEach(async () => {
  for (const child of children.splice(0)) if (child.exitCode === null) child.kill("SIGKILL");
  // Whatever a test left running is adopted and stopped.
  if (existsSync(join(data, "database", "data"))) await open();
  for (const one of opened.splice(0)) await one.close().catch(() => undefined);
  rmSync(folder, { recursive: true, force: true });
});

async function open(at = data): Promise<Catalogue> {
  const catalogue = await openCatalogue({ data: at });
  opened.push(catalogue);
  return catalogue;
}

const postmaster = (at = data): number =>
  Number.parseInt(readFileSync(join(at, "database/data/postmaster.pid"), "utf8"), 10);
const runs = (pid: number) => isRunning({ pid, started: null });
const names = async (catalogue: Catalogue) => (await catalogue.list("Target")).map(({ name }) => name);

/** Another process that opens the catalogue of `at`, says its server's process id, and closes it at the end of its input. */
async function another(at = data, prefix: string[] = [], clone = root): Promise<{ child: ChildProcess; pid: number }> {
  const script = `
    const { openCatalogue } = await import(${JSON.stringify(join(clone, "dist/src/catalogue/sql-catalogue.js"))});
    const catalogue = await openCatalogue({ data: process.argv[1] });
    await catalogue.ping();
    console.log("open");
    process.stdin.resume().once("end", async () => { await catalogue.close(); process.exit(0); });`;
  const [command = "", ...rest] = [...prefix, process.execPath, "--input-type=module", "-e", script, at];
  const child = spawn(command, rest, { cwd: "/", stdio: ["pipe", "pipe", "pipe"] });
  children.push(child);
  let said = "";
  child.stderr?.on("data", (chunk) => {
    said += chunk;
  });
  const ended = once(child, "exit").then(() => {
    throw new Error(`it ended: ${said}`);
  });
  await Promise.race([once(child.stdout as NodeJS.ReadableStream, "data"), ended]);
  ended.catch(() => undefined);
  return { child, pid: postmaster(at) };
}

async function end({ child }: { child: ChildProcess }): Promise<void> {
  const over = once(child, "exit");
  child.stdin?.end();
  expect(await over).toEqual([0, null]);
}

describe("the embedded database", () => {
  it("keeps what was written across a stop, and nothing of it runs after the last close", async () => {
    const first = await open();
    await first.apply(target("a", 1));
    const pid = postmaster();
    await first.close();
    expect(runs(pid)).toBe(false);
    expect(await names(await open())).toEqual(["a"]);
  });

  it("is this user's alone, listens on no network, and syncs each commit", async () => {
    await open();
    expect(statSync(join(data, "database")).mode & 0o777).toBe(0o700);
    expect(statSync(join(data, "database/data")).mode & 0o077).toBe(0);
    expect(statSync(join(data, "database/.s.PGSQL.5432")).mode & 0o777).toBe(0o600);
    const words = readFileSync(`/proc/${postmaster()}/cmdline`, "utf8").split("\0");
    expect(words).toContain("listen_addresses=");
    expect(words.filter((word) => /^(fsync|full_page_writes|synchronous_commit)=/.test(word))).toEqual([]);
  });

  it.runIf(process.platform === "linux")(
    "has each acknowledged write on disk before it is acknowledged",
    async () => {
      copyMade();
      const catalogue = await open();
      const log = join(folder, "strace");
      // The server's processes that are there, and with -f those that it makes from here on.
      const there = execFileSync("pgrep", ["-P", String(postmaster())], { encoding: "utf8" })
        .trim()
        .split("\n");
      const pids = [String(postmaster()), ...there].flatMap((pid) => ["-p", pid]);
      const tracer = spawn("strace", ["-f", "-e", "trace=fsync,fdatasync", "-o", log, ...pids]);
      children.push(tracer);
      let said = "";
      tracer.stderr.on("data", (chunk) => {
        said += chunk;
      });
      const attached = () => (said.match(/attached/g)?.length === pids.length / 2 ? true : null);
      await until(attached, "strace to attach", 20_000);
      const synced = () => (readFileSync(log, "utf8").match(/f(data)?sync\(\d+/g) ?? []).length;
      const before = synced();
      for (let i = 1; i <= 50; i++) expect(await catalogue.apply(target(`t${i}`, i))).toBe("created");
      tracer.kill("SIGINT");
      await once(tracer, "exit");
      expect(synced() - before).toBeGreaterThanOrEqual(50);
    },
    60_000,
  );

  it("is started again when it was killed; what it had acknowledged is there", async () => {
    copyMade();
    const catalogue = await open();
    const killed = postmaster();
    const acknowledged: string[] = [];
    const failures: unknown[] = [];
    for (let n = 1; n <= 40; n++) {
      await catalogue.apply(target(`t${n}`, n)).then(
        () => acknowledged.push(`t${n}`),
        (error: unknown) => failures.push(error),
      );
      if (n === 20) process.kill(killed, "SIGKILL");
    }
    const answers = () =>
      catalogue.ping().then(
        () => true,
        () => null,
      );
    await until(answers, "the new server", 60_000);
    expect(failures.length).toBeGreaterThan(0);
    for (const error of failures) {
      expect(error).toMatchObject({
        code: "unreachable",
        message: expect.stringMatching(
          /^The database of PITSTOP_DATA does not answer \(.*it is started again by itself/,
        ),
      });
    }
    expect(postmaster()).not.toBe(killed);
    // A commit whose answer was lost may be there too.
    expect(await names(catalogue)).toEqual(expect.arrayContaining(acknowledged));
    await catalogue.apply(target("after", 99));
  }, 90_000);

  it("is adopted after a kill of the process that started it, with the same server", async () => {
    copyMade();
    const before = await another();
    before.child.kill("SIGKILL");
    await once(before.child, "exit");
    expect(runs(before.pid)).toBe(true);
    const catalogue = await open();
    expect(postmaster()).toBe(before.pid);
    await catalogue.close();
    expect(runs(before.pid)).toBe(false);
  });

  it("is shared by several processes, and stopped by the last of them", async () => {
    const [one, two] = await Promise.all([another(), another()]);
    expect(one.pid).toBe(two.pid);
    await end(one);
    expect(runs(one.pid)).toBe(true);
    const catalogue = await open();
    await end(two);
    await catalogue.apply(target("a", 1));
    await catalogue.close();
    expect(runs(one.pid)).toBe(false);
  });

  it("starts although the process id of its last server is another program's now", async () => {
    copyMade();
    await (await open()).close();
    writeFileSync(join(data, "database/data/postmaster.pid"), `${process.pid}\n${data}/database/data\n0\n5432\n\n\n`);
    await (await open()).ping();
  });

  it("makes its data folder anew when the process that made it died midway", async () => {
    mkdirSync(join(data, "database/data.new-1/base"), { recursive: true });
    await (await open()).ping();
    expect(existsSync(join(data, "database/data.new-1"))).toBe(false);
  });

  it("has its socket below /tmp where the path of the data folder is too long for one", async () => {
    data = join(folder, "a-folder-with-a-long-name".repeat(4), "data");
    copyMade();
    await (await open()).ping();
    const { detail } = await lookAtEmbedded(data);
    expect(detail).toMatch(/runs as process \d+; psql -h \/tmp\/pitstop-\d+-[0-9a-f]{16} -U pitstop pitstop$/);
  });

  it("tells doctor whether it is there, runs, and how", async () => {
    mkdirSync(data);
    expect(await lookAtEmbedded(data)).toMatchObject({
      ok: true,
      detail: expect.stringMatching(/^PostgreSQL \d+ .* does not run; pitstop serve makes and starts it$/),
    });
    await open();
    expect(await lookAtEmbedded(data)).toMatchObject({
      ok: true,
      detail: expect.stringContaining(`runs as process ${postmaster()}`),
    });
  });

  it("refuses in one sentence the folder of a Pitstop that kept its catalogue in PGlite", async () => {
    mkdirSync(join(data, "catalogue"), { recursive: true });
    writeFileSync(join(data, "catalogue/PG_VERSION"), "17\n");
    await expect(openCatalogue({ data })).rejects.toMatchObject({
      code: "refused",
      message: `${join(data, "catalogue")} is the catalogue of an older Pitstop, which this one cannot read: end the open sessions with that one, keep the folder as a backup elsewhere, start this one, and apply your documents again.`,
    });
  });

  it("says what to do where no PostgreSQL of the folder's version runs", async () => {
    await expect(findPrograms(99)).rejects.toMatchObject({
      code: "refused",
      message: expect.stringMatching(
        /^No PostgreSQL 99 runs on this machine \(.*: version \d+.*\); install one, or set DATABASE_URL/,
      ),
    });
  });
});

describe.runIf(isRoot)("the embedded database, by who starts it", () => {
  it("runs for root in a user namespace, and its files are root's", async () => {
    await open();
    expect(statSync(join(data, "database/data/PG_VERSION")).uid).toBe(0);
    expect(readFileSync(`/proc/${postmaster()}/uid_map`, "utf8").trim()).toMatch(/^65534\s+0\s+1$/);
  });

  it("runs for root below a folder that only another user may enter", async () => {
    mkdirSync(data, { mode: 0o700 });
    const home = join(folder, "home");
    mkdirSync(join(home, "data"), { recursive: true, mode: 0o700 });
    chownSync(home, 4_321, 4_321);
    data = join(home, "data");
    const catalogue = await open();
    await catalogue.apply(target("a", 1));
    expect(statSync(join(data, "database/data/PG_VERSION")).uid).toBe(65_534);
    await catalogue.close();
    // The owner lets others in: the files change hands, and the server runs as root starts it elsewhere.
    chmodSync(home, 0o711);
    chmodSync(data, 0o700);
    expect(await names(await open())).toEqual(["a"]);
    expect(statSync(join(data, "database/data/PG_VERSION")).uid).toBe(0);
  });

  it("runs for a user without an entry in the password database", async () => {
    mkdirSync(data, { mode: 0o700 });
    chownSync(data, 54_321, 54_321);
    chmodSync(folder, 0o711);
    // Wherever this clone lies, that user reaches it: by a mount that only these processes have.
    const clone = join(folder, "clone");
    mkdirSync(clone);
    const mounted = `mount --bind "$0" "$1" && shift && exec setpriv --reuid=54321 --regid=54321 --clear-groups "$@"`;
    const one = await another(data, ["unshare", "--mount", "sh", "-c", mounted, root, clone], clone);
    expect(statSync(join(data, "database/data/PG_VERSION")).uid).toBe(54_321);
    await end(one);
    chownSync(data, 0, 0);
    rmSync(data, { recursive: true });
  });
});
