import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, onTestFailed, test } from "vitest";
import { stringify } from "yaml";
import { cacheFolder } from "../../src/cache-folder.js";
import { findTemporal } from "../../src/temporal/binary.js";
import { connectTemporal, type TemporalConnections } from "../../src/temporal/connect.js";
import { changed } from "../support/changed-workflows.js";
import { Operator } from "../support/operator.js";
import { otherBuild } from "../support/other-build.js";

let op: Operator;
/** Does more before a target is looked at, inside patched(): histories of the version before are understood. */
let compatible: ReturnType<typeof otherBuild>;
/** Does the same without a word. */
let incompatible: ReturnType<typeof otherBuild>;
const openConnections: TemporalConnections[] = [];

beforeAll(async () => {
  execFileSync(process.execPath, [resolve("scripts/build.mjs")], { stdio: ["ignore", "ignore", "inherit"] });
  compatible = otherBuild((code) => changed(code, 'if (PATCHED("a-later-version")) await SLEEP(10);'));
  incompatible = otherBuild((code) => changed(code, "await SLEEP(10);"));
  op = await Operator.start({ machines: [{ name: "away" }, { name: "later" }, { name: "sealed" }] });
  await op.addImage("noise");
  await op.apply(`
kind: Action
name: until-told
image: noise
mode: active
interactive: true
params: {canary: {default: parameter-in-plain-text}}
---
{kind: Action, name: look, image: noise, mode: active, tasks: [{name: look, script: "echo seen"}]}
---
{kind: Action, name: fail, image: noise, mode: active, tasks: [{name: failing-in-plain-text, script: "exit 3"}]}
`);
}, 240_000);
afterAll(async () => {
  for (const connection of openConnections) await connection.close();
  await op?.close();
  compatible?.remove();
  incompatible?.remove();
}, 60_000);
beforeEach(() => onTestFailed(() => console.log(op.story)));

/** Everything that Temporal has of a target's newest session, as the server has it. */
async function history(target: string): Promise<string> {
  const { port } = JSON.parse(readFileSync(join(op.data, "temporal", "server.json"), "utf8")) as { port: number };
  const address = { address: `127.0.0.1:${port}`, namespace: "default", configured: false };
  const connection = await connectTemporal(address);
  openConnections.push(connection);
  const found = await connection.client.workflow.getHandle(`maintenance/${target}`).fetchHistory();
  return withBytes(JSON.stringify(found));
}

/** JSON, and beside it what its bytes hold, which are base64 there. */
function withBytes(text: string): string {
  const held = [...text.matchAll(/"([A-Za-z0-9+/]{8,}={0,2})"/g)].map(([, bytes]) =>
    Buffer.from(bytes ?? "", "base64"),
  );
  return `${text}\n${Buffer.concat(held).toString("latin1")}`;
}

/** A history is too long to be printed by an assertion. */
const holds = async (target: string, text: string) => (await history(target)).includes(text);

/** Temporal's own command, as an operator has it, and the words that lead it to the server. */
async function temporalCommand(): Promise<{ temporal: string; where: string[] }> {
  const temporal = await findTemporal(cacheFolder(), () => undefined);
  const { port } = JSON.parse(readFileSync(join(op.data, "temporal", "server.json"), "utf8")) as { port: number };
  return { temporal, where: ["--address", `127.0.0.1:${port}`] };
}

/** Of an argument, a result, a summary, a task, and a failure. */
const PLAIN = ["noise-vmlinuz", "GracefulShutdown", "Leave the image", "failing-in-plain-text", "refused the user"];

/** Which of these the histories of two sessions of a target hold: one whose work fails, and one that its BMC refuses. */
async function plainTexts(target: string): Promise<string[]> {
  expect(await op.run("run", target, "-a", "fail", "--wait")).toMatchObject({ exit: 1 });
  const worked = await history(target);
  const document = op.target(target);
  writeFileSync(join(op.data, "wrong-login"), "admin:guessed");
  const [control] = document.control;
  if (control && "redfish" in control) control.redfish.credentials = { file: "wrong-login" };
  await op.apply(stringify(document));
  expect(await op.run("run", target, "-a", "look", "--wait")).toMatchObject({ exit: 1 });
  const refused = await history(target);
  await op.apply(stringify(op.target(target)));
  return PLAIN.filter((text) => worked.includes(text) || refused.includes(text));
}

/** Starts serve so that it may refuse, and gives what it said. */
async function serveSays(env: NodeJS.ProcessEnv = {}) {
  return await op.type(["serve"], "", env);
}

const startAway = async (target: string) => {
  expect(await op.run("run", target, "-a", "until-told")).toMatchObject({ exit: 0 });
  return await op.untilPhase(target, "working");
};
const tellLast = async (target: string) => {
  op.write("last.yaml", "name: last\nscript: echo last\n");
  expect(await op.run("session", "supply", target, "-f", "last.yaml", "--last")).toMatchObject({ exit: 0, err: "" });
};

test("a session that began before an upgrade ends after it; a version that cannot go on with it refuses to serve", {
  timeout: 300_000,
}, async () => {
  const { session } = await startAway("away");

  // Beside the server that runs, by the new version's own command.
  op.program = incompatible.program;
  const looked = await op.run("doctor");
  expect(looked.out).toMatch(
    /^bad +open sessions: This version cannot go on with 1 of 1 open sessions \(maintenance\/away\)/m,
  );
  op.program = compatible.program;
  expect((await op.run("doctor")).out).toMatch(/^ok +open sessions: 1 of 1 replayed; this version goes on with them$/m);

  await op.serve?.end("SIGTERM");
  op.program = incompatible.program;
  const refused = await serveSays();
  expect(refused).toMatchObject({ exit: 2 });
  expect(refused.err).toMatch(
    /^This version cannot go on with 1 of 1 open sessions \(maintenance\/away\): Nondeterminism error: [^"]+\. Start the version and the settings that they began with and let them end there, or serve nevertheless with PITSTOP_REPLAY_CHECK=warn, which leaves them standing still until you act \(docs\/upgrading\.md\)\.$/m,
  );

  op.program = compatible.program;
  await op.startServe();
  await tellLast("away");
  expect(await op.untilEnded("away")).toMatchObject({ session, outcome: "succeeded", ending: "restored" });
  expect(await holds("away", "a-later-version")).toBe(false);

  expect(await op.run("run", "later", "-a", "look", "--wait")).toMatchObject({ exit: 0 });
  expect(await holds("later", "a-later-version")).toBe(true);
});

test("the emergency override serves everybody else, and the one that stands still is brought home", {
  timeout: 300_000,
}, async () => {
  await startAway("away");
  await op.serve?.end("SIGTERM");
  op.program = incompatible.program;
  op.env.PITSTOP_REPLAY_CHECK = "warn";
  await op.startServe();
  delete op.env.PITSTOP_REPLAY_CHECK;
  expect(op.serve?.said).toMatch(/this version cannot go on with an open session/);
  expect(await op.run("run", "later", "-a", "look", "--wait")).toMatchObject({ exit: 0 });

  const { temporal, where } = await temporalCommand();
  const command = ["workflow", "terminate", "--workflow-id", "maintenance/away", "--reason", "cannot go on"];
  execFileSync(temporal, [...command, ...where]);
  // By hand, unless the reconciler has been quicker.
  const back = await op.run("run", "away", "--restore-only", "--wait");
  if (back.exit !== 0) expect(back.err).toMatch(/^away is busy/);
  expect(await op.untilEnded("away")).toMatchObject({ ending: "restored" });
  await op.home("away");
});

test("encryption: what began before goes on, nothing new is in plain text, and a wrong or missing key is refused", {
  timeout: 300_000,
}, async () => {
  await op.serve?.end("SIGTERM");
  op.program = compatible.program;
  await op.startServe();
  const { session } = await startAway("away");
  expect(await holds("away", "parameter-in-plain-text")).toBe(true);
  // What the search below must not find, it finds where nothing is encrypted.
  expect(await plainTexts("later")).toEqual(PLAIN);
  await op.serve?.end("SIGTERM");

  mkdirSync(join(op.data, "keys"));
  const keyFile = join(op.data, "keys", "payload");
  const key = `k1:${randomBytes(32).toString("base64")}`;
  writeFileSync(keyFile, key, { mode: 0o600 });
  op.env.PITSTOP_PAYLOAD_KEY = "{file: keys/payload}";
  await op.startServe();
  await tellLast("away");
  expect(await op.untilEnded("away")).toMatchObject({ session, outcome: "succeeded", ending: "restored" });

  expect(await plainTexts("sealed")).toEqual([]);
  expect(await holds("sealed", "binary/encrypted")).toBe(true);

  await startAway("sealed");
  expect(await holds("sealed", "parameter-in-plain-text")).toBe(false);
  const { temporal, where } = await temporalCommand();
  const show = ["workflow", "show", "--workflow-id", "maintenance/sealed", "--output", "json", ...where];
  const codec = ["--codec-endpoint", `${op.url}/api/v1/codec`];
  const token = readFileSync(join(op.data, "token"), "utf8").trim();
  const shown = execFileSync(temporal, [...show, ...codec, "--codec-auth", `Bearer ${token}`]).toString();
  expect(withBytes(shown).includes("parameter-in-plain-text")).toBe(true);
  const asked = { method: "POST", headers: { "content-type": "application/json" }, body: '{"payloads": []}' };
  expect((await fetch(`${op.url}/api/v1/codec/decode`, asked)).status).toBe(401);

  await op.serve?.end("SIGTERM");
  delete op.env.PITSTOP_PAYLOAD_KEY;
  const missing = await serveSays();
  expect(missing.err).toMatch(
    /encrypted with the payload key "k1", and the keys here are: none\. Give PITSTOP_PAYLOAD_KEY/,
  );
  expect(missing.exit).toBe(2);
  writeFileSync(keyFile, `k1:${randomBytes(32).toString("base64")}`);
  const wrong = await serveSays({ PITSTOP_PAYLOAD_KEY: "{file: keys/payload}" });
  expect(wrong).toMatchObject({ exit: 2, err: expect.stringContaining('The key "k1" is not the one') });

  // Rotated: a new key above the old one.
  writeFileSync(keyFile, `k2:${randomBytes(32).toString("base64")}\n${key}\n`);
  op.env.PITSTOP_PAYLOAD_KEY = "{file: keys/payload}";
  await op.startServe();
  await tellLast("sealed");
  expect(await op.untilEnded("sealed")).toMatchObject({ outcome: "succeeded", ending: "restored" });
  expect(existsSync(join(op.data, "payload-keys.json"))).toBe(true);
});
