import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const root = resolve(import.meta.dirname, "../..");
const TIMEOUT_MS = 240_000;

/** Runs in a mount namespace of its own, where the state folder is a file system of 100 MB. */
const STORY = `
  const { appendFileSync, rmSync } = await import("node:fs");
  const { openCatalogue } = await import(process.argv[1] + "/dist/src/catalogue/sql-catalogue.js");
  const data = process.argv[2];
  const catalogue = await openCatalogue({ data });
  const acknowledged = [];
  const failures = [];
  const image = (n) => ({
    ...{ kind: "Image", name: "i" + n, labels: { text: "x".repeat(60) }, role: "maintenance", arch: "x86_64" },
    ...{ kernel: { url: "https://images/" + "k".repeat(1500), sha256: "0".repeat(64) }, initrds: [{ url: "https://images/i", sha256: "0".repeat(64) }] },
  });
  const write = async (n) => {
    try {
      await catalogue.apply(image(n));
      acknowledged.push("i" + n);
      return true;
    } catch (error) {
      failures.push({ code: error.code ?? null, message: error.message });
      return false;
    }
  };
  let n = 0;
  while (n < 50) await write(++n);
  try {
    for (const chunk = Buffer.alloc(1 << 16); ; ) appendFileSync(data + "/filler", chunk);
  } catch {}
  for (let i = 0; i < 3000 && failures.length < 5; i++) await write(++n);
  const whileFull = failures.length;
  rmSync(data + "/filler");
  const end = Date.now() + 120_000;
  while (!(await write(++n))) {
    if (Date.now() > end) throw new Error("it never came back: " + failures.at(-1).message);
    await new Promise((done) => setTimeout(done, 200));
  }
  const there = new Set((await catalogue.list("Image")).map(({ name }) => name));
  console.log(JSON.stringify({ whileFull, failures, lost: acknowledged.filter((name) => !there.has(name)) }));
  await catalogue.close();
`;

it.runIf(process.getuid?.() === 0)(
  "a database whose disk is full refuses writes as unreachable, loses none that it acknowledged, and goes on when there is room",
  { timeout: TIMEOUT_MS },
  async () => {
    const data = mkdtempSync("/tmp/pitstop-full-");
    try {
      const mounted = `mount -t tmpfs -o size=100m,mode=0700 tmpfs "$0" && exec "$@"`;
      const program = [process.execPath, "--input-type=module", "-e", STORY, root, data];
      const { stdout } = await promisify(execFile)("unshare", ["--mount", "sh", "-c", mounted, data, ...program], {
        timeout: TIMEOUT_MS,
      });
      const told = JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
      expect(told.whileFull).toBe(5);
      expect(told.lost).toEqual([]);
      for (const failure of told.failures) expect(failure).toMatchObject({ code: "unreachable" });
    } finally {
      rmSync(data, { recursive: true, force: true });
    }
  },
);
