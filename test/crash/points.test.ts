import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { effectsInCode, NOT_A_SESSIONS } from "./points.js";

/** What changes the world outside of a process: files, sockets, other processes, Temporal. */
const PRIMITIVES =
  /from "(node:fs(\/promises)?|node:child_process|node:net|node:https?|undici|execa|pg|@electric-sql\/pglite|@temporalio\/client)"/;

/** Every file that has such means in its hands, and the watched object (or the reason) behind which it stands. */
const BEHIND: Record<string, string> = {
  "src/agent/task-log.ts": "agent.appendLog, activity.closeSite",
  "src/api/routes/events.ts": "types of a stream only",
  "src/api/token.ts": "the start of a process",
  "src/boot/boot-files.ts": "reads",
  "src/boot/cache.ts": "activity.stageImage",
  "src/boot/iso-build.ts": "activity.stageImage",
  "src/boot/iso-files.ts": "activity.stageImage",
  "src/boot/journal.ts": "journal.save, journal.remove",
  "src/boot/listener.ts": "the start of a process; what it is asked for is agent.* and journal.save",
  "src/boot/media.ts": "activity.stageImage, activity.armTarget",
  "src/boot/medium-served.ts": "reads",
  "src/boot/secret.ts": "the start of a process",
  "src/boot/tls.ts": "the start of a process",
  "src/catalogue/lock.ts": "the start of a process",
  "src/catalogue/pglite.ts": "catalogue.*",
  "src/catalogue/postgres.ts": "catalogue.*",
  "src/config.ts": "the start of a process",
  "src/control/credentials.ts": "reads; a command of the operator's that yields a password",
  "src/control/home/http.ts": "reads: a home check only asks",
  "src/control/home/ssh.ts": "reads: a home check only asks",
  "src/control/home/tcp.ts": "reads: a home check only asks",
  "src/control/redfish/transport.ts": "bmc.*: each request that is no GET",
  "src/control/tls.ts": "reads",
  "src/stores/atomic.ts": "journal.save, objects.put, activity.stageImage",
  "src/stores/fetch-verified.ts": "activity.stageImage",
  "src/stores/file-store.ts": "objects.put",
  "src/stores/source-file.ts": "reads",
  "src/stores/source-http.ts": "reads",
  "src/temporal/attributes.ts": "the start of a process",
  "src/temporal/binary.ts": "the start of a process",
  "src/temporal/connect.ts": "the start of a process",
  "src/temporal/devserver.ts": "the start of a process",
  "src/temporal/door.ts": "catalogue.once: a person's request, once for each key",
  "src/temporal/fates.ts": "fates.bringHome",
  "src/temporal/launch.ts": "fates.bringHome, and a person's request behind catalogue.once",
  "src/temporal/link.ts": "link.*",
  "workers/builtins.ts": "the start of a process",
  "workers/payload-keys.ts": "reads",
  "workers/prepare.ts": "the start of a process",
  "workers/replay-check.ts": "reads: histories of open sessions",
  "workers/roles.ts": "reads",
};

const root = resolve(import.meta.dirname, "../..");
const ROOMS = ["src", "activities", "workers", "workflows"];
/** The lab is the world outside; a command is a client, whose effects are REST requests. */
const OUTSIDE = [/^src\/lab\//, /^src\/cli\//, /^workers\/(lab|start)\.ts$/];

const files = (folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name))
    .filter((path) => path.endsWith(".ts") && !OUTSIDE.some((one) => one.test(path)));

test("what changes the world lies only in files that stand behind a watched object", () => {
  const able = ROOMS.flatMap(files).filter((path) => PRIMITIVES.test(readFileSync(join(root, path), "utf8")));
  // A new file in this list: put what it changes behind an object of workers/effects.ts, and say here which.
  expect(able.filter((path) => !(path in BEHIND))).toEqual([]);
  expect(Object.keys(BEHIND).filter((path) => !able.includes(path))).toEqual([]);
});

test("the exceptions of the matrix are effects that there are", () => {
  const all = effectsInCode();
  expect(all.length).toBeGreaterThan(40);
  expect(Object.keys(NOT_A_SESSIONS).filter((point) => !all.includes(point))).toEqual([]);
});
