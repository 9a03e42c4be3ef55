import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { meansIn } from "./means.js";
import { effectsInCode, NOT_A_SESSIONS } from "./points.js";

/** Every file that has such means in its hands, and the watched object (or the reason) behind which it stands. */
const BEHIND: Record<string, string> = {
  "src/agent/task-log.ts": "agent.appendLog, activity.closeSite",
  "src/api/client.ts": "a client, whose effects are REST requests",
  "src/api/routes/events.ts": "types of a stream only",
  "src/api/server.ts":
    "the start of a process; what it is asked for is catalogue.* and a person's request behind catalogue.once",
  "src/api/token.ts": "the start of a process",
  "src/api/unreadable.ts": "types of a socket, on which a refusal is written",
  "src/boot/boot-files.ts": "reads",
  "src/boot/cache.ts": "activity.stageImage",
  "src/boot/iso-build.ts": "activity.stageImage",
  "src/boot/iso-files.ts": "activity.stageImage",
  "src/boot/listener.ts": "the start of a process; what it is asked for is agent.* and journal.save",
  "src/boot/media.ts": "activity.stageImage, activity.armTarget",
  "src/boot/medium-served.ts": "reads",
  "src/boot/tls.ts": "the start of a process",
  "src/catalogue/embedded/account.ts": "the start of the database, from a process's start or after its death",
  "src/catalogue/embedded/cluster.ts": "the start of the database, from a process's start or after its death",
  "src/catalogue/embedded/look.ts": "reads",
  "src/catalogue/embedded/open.ts": "reads",
  "src/catalogue/embedded/programs.ts": "the start of the database, from a process's start or after its death",
  "src/catalogue/embedded/server.ts": "the start of the database, from a process's start or after its death",
  "src/catalogue/embedded/sharers.ts": "the start and the end of a process",
  "src/catalogue/postgres.ts": "catalogue.*",
  "src/config.ts": "the start of a process",
  "src/control/credentials.ts": "reads; a command of the operator's that yields a password",
  "src/control/home/http.ts": "reads: a home check only asks",
  "src/control/home/ssh.ts": "reads: a home check only asks",
  "src/control/home/tcp.ts": "reads: a home check only asks",
  "src/control/redfish/library.ts": "bmc.*: its requests are the transport's",
  "src/control/redfish/transport.ts": "bmc.*: each request that is no GET",
  "src/control/tls.ts": "reads",
  "src/data-folder.ts": "the start of a process",
  "src/free-port.ts": "the start of a process",
  "src/process-lock.ts": "the start of a process",
  "src/processes.ts": "reads; cuts the log of a server that runs beside us",
  "src/site/journal.ts": "journal.save, journal.remove",
  "src/site/keys.ts": "the start of a process",
  "src/stores/atomic.ts": "journal.save, objects.put, activity.stageImage",
  "src/stores/fetch-verified.ts": "activity.stageImage",
  "src/stores/file-store.ts": "objects.put",
  "src/stores/source-file.ts": "reads",
  "src/stores/source-http.ts": "reads",
  "src/temporal/attributes.ts": "the start of a process",
  "src/temporal/binary.ts": "the start of a process",
  "src/temporal/connect.ts": "the start of a process",
  "src/temporal/devserver.ts": "the start of a process",
  "src/temporal/session-service.ts": "catalogue.once: a person's request, once for each key",
  "src/temporal/go-build.ts": "the start of a process",
  "src/temporal/launch.ts": "states.bringHome, and a person's request behind catalogue.once",
  "src/temporal/link.ts": "link.*",
  "src/temporal/session-states.ts": "states.bringHome",
  "workers/builtins.ts": "the start of a process",
  "workers/deployment.ts": "the start of a process",
  "workers/effects.ts": "looks for a test's hook",
  "workers/payload-keys.ts": "reads",
  "workers/prepare.ts": "the start of a process",
  "workers/replay-check.ts": "reads: histories of open sessions",
  "workers/roles.ts": "reads",
  "workers/stopping.ts": "the end of a process",
  "workers/temporal.ts": "the start of a process",
};

const root = resolve(import.meta.dirname, "../..");
const ROOMS = ["src", "activities", "workers", "workflows"];
/** The lab is the world outside; a command is a client, whose effects are REST requests. */
const OUTSIDE = [/^src\/lab\//, /^src\/cli\//, /^workers\/(lab|start)\.ts$/];

const files = (folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name))
    .filter((path) => path.endsWith(".ts") && !OUTSIDE.some((one) => one.test(path)));

test.each([
  ['import { rm } from "node:fs/promises";', "node:fs/promises"],
  ['import * as files from "fs";', "fs"],
  ['import "node:http";', "node:http"],
  ['export { spawn } from "node:child_process";', "node:child_process"],
  ['import net = require("node:net");', "node:net"],
  ['const tls = await import("node:tls");', "node:tls"],
  ['import type { FileHandle } from "node:fs/promises";', "node:fs/promises"],
  ["const it = await import(`node:dgram`);", "node:dgram"],
  ["const it = await import(nameOf(it));", "import(...)"],
  ['const fs = require("node:fs");', "require"],
  ['import { createRequire } from "node:module";', "node:module"],
  ['import something from "something-new";', "something-new"],
  ['await fetch("http://127.0.0.1/");', "fetch"],
  ["export const options = { fetch };", "fetch"],
  ['globalThis.fetch("http://127.0.0.1/");', "globalThis"],
  ["process.kill(pid);", "process.kill"],
  ['process.getBuiltinModule("fs").rmSync(path);', "process.getBuiltinModule"],
  ["const { kill } = process;", "process...."],
  ['process["kill"](pid);', "process...."],
])("%s is a means to change the world", (text, means) => {
  expect(meansIn(text)).toEqual([means]);
});

test("readings, an HTTP answer and the names of properties are none", () => {
  const text = `
    import type { FastifyReply } from "fastify";
    import { join } from "node:path";
    class Client { #fetch(): void {} fetch(): void { this.#fetch(); } static of(it: typeof fetch) { return it.fetch; } }
    export const at = { path: join(process.cwd(), process.env.HOME), process: 1, fetch: 2 };
  `;
  expect(meansIn(text)).toEqual([]);
});

test("what changes the world lies only in files that stand behind a watched object", () => {
  const able = ROOMS.flatMap(files).filter((path) => meansIn(readFileSync(join(root, path), "utf8")).length > 0);
  // A new file in this list: put what it changes behind an object of workers/effects.ts, and say here which.
  expect(able.filter((path) => !(path in BEHIND))).toEqual([]);
  expect(Object.keys(BEHIND).filter((path) => !able.includes(path))).toEqual([]);
});

test("the exceptions of the matrix are effects that there are", () => {
  const all = effectsInCode();
  expect(all.length).toBeGreaterThan(40);
  expect(Object.keys(NOT_A_SESSIONS).filter((point) => !all.includes(point))).toEqual([]);
});
