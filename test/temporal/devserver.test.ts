import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type DevServer, ensureDevServer } from "../../src/temporal/devserver.js";

/** Stands in for the Temporal server: notes that it was started, and listens where it is told to, after a while. */
const PROGRAM = `#!${process.execPath}
const at = (name) => process.argv[process.argv.indexOf(name) + 1];
require("node:fs").appendFileSync(at("--db-filename") + ".started", process.pid + "\\n");
setTimeout(() => require("node:net").createServer().listen(Number(at("--port")), "127.0.0.1"), 1500);
`;

let dir: string;
let servers: DevServer[];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "pitstop-devserver-"));
  servers = [];
  writeFileSync(join(dir, "program"), PROGRAM);
  chmodSync(join(dir, "program"), 0o755);
});
afterEach(async () => {
  for (const server of servers) await server.stop();
  rmSync(dir, { recursive: true, force: true });
});

const ensure = async (): Promise<DevServer> => {
  const server = await ensureDevServer({ program: async () => join(dir, "program"), dir, log: () => undefined });
  servers.push(server);
  return server;
};
const started = (): number[] => {
  const file = join(dir, "temporal.db.started");
  return existsSync(file) ? readFileSync(file, "utf8").trim().split("\n").map(Number) : [];
};
const note = (): { pid: number; port: number } => JSON.parse(readFileSync(join(dir, "server.json"), "utf8"));

test("a server whose starter died before it could note it is adopted", async () => {
  const first = await ensure();
  first.leave();
  writeFileSync(join(dir, "server.json"), JSON.stringify({ ...note(), pid: 0 }));
  const second = await ensure();
  expect(second.pid()).toBe(first.pid());
  expect(second.address).toBe(first.address);
  expect(note().pid).toBe(first.pid());
  expect(started()).toHaveLength(1);
});

test("without any note, a running server is found with its addresses", async () => {
  const first = await ensure();
  first.leave();
  rmSync(join(dir, "server.json"));
  const second = await ensure();
  expect(second.pid()).toBe(first.pid());
  expect(second.address).toBe(first.address);
  expect(started()).toHaveLength(1);
});

test("a server that is only just starting is waited for, and gets none beside it", async () => {
  const first = ensure();
  while (started().length === 0 || !existsSync(join(dir, "server.json")) || note().pid === 0) await sleep(20);
  const second = await ensure();
  expect(second.pid()).toBe((await first).pid());
  expect(started()).toHaveLength(1);
});

test("ports that somebody else took in the meantime are not waited for", async () => {
  const first = await ensure();
  await first.stop();
  const other = createServer().listen(note().port, "127.0.0.1");
  try {
    await once(other, "listening");
    const second = await ensure();
    expect(second.address).not.toBe(first.address);
    expect(started()).toHaveLength(2);
  } finally {
    other.close();
  }
});

test("a server that ends as it starts is tried twice more, then told of in one sentence", async () => {
  const ends = 'console.error("no such database");\nprocess.exit(3);\nsetTimeout(';
  writeFileSync(join(dir, "program"), PROGRAM.replace("setTimeout(", ends));
  await expect(ensure()).rejects.toThrow(
    `The Temporal dev server ended with 3 as it started; ${join(dir, "server.log")} says why: no such database.`,
  );
  expect(started()).toHaveLength(3);
});

test("the log of a server that runs, adopted too, is cut at 64 MiB, and the server writes on", async () => {
  writeFileSync(join(dir, "program"), `${PROGRAM}setInterval(() => console.error("still here"), 50);\n`);
  (await ensure()).leave();
  const adopted = await ensure();
  const logFile = join(dir, "server.log");
  const grown = 64 * 1024 * 1024 + 1;
  truncateSync(logFile, grown);
  const deadline = Date.now() + 20_000;
  while (statSync(logFile).size >= grown && Date.now() < deadline) await sleep(50);
  await sleep(500);
  // From its beginning: a server that wrote on where it had been would leave a hole there.
  expect(readFileSync(logFile, "utf8")).toMatch(/^(still here\n)+$/);
  expect(statSync(`${logFile}.old`).size).toBeGreaterThanOrEqual(grown);
  expect([adopted.pid(), started()]).toEqual([note().pid, [note().pid]]);
});
