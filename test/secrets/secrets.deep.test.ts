import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, onTestFailed, test } from "vitest";
import { stringify } from "yaml";
import type { CredentialRef } from "../../src/domain/basics.js";
import { connectTemporal, type TemporalConnections } from "../../src/temporal/connect.js";
import { Operator, until } from "../support/operator.js";
import { Haystack, type Needles, withBytes } from "./search.js";

/** Given to every task as a parameter, so that it has to be found wherever sessions are told of. */
const MARK = "a-mark-that-is-no-secret";
const WRONG = "a-password-that-is-wrong-0f5a";
/** What a program of the lab quotes of a request, when nothing hides it. */
const QUOTED_TOKEN = /X-Auth-Token: (?!\[redacted\]|undefined)/;

let op: Operator;
let temporal: TemporalConnections;
/** What the event stream has said so far. */
let heard = "";
const listening = new AbortController();
/** Command lines are of the moment: looked at again and again while sessions run. */
const looks: { needles: Needles; haystack: Haystack }[] = [];
let watching: NodeJS.Timeout;

beforeAll(async () => {
  const quoting = (status: number, method: "POST" | "PATCH", path: string) => [
    { fault: "status" as const, status, quotes: true, match: { method, path }, times: 1 },
  ];
  op = await Operator.start(
    {
      machines: [
        { name: "good" },
        { name: "refused" },
        { name: "quotes-login", bmcFaults: quoting(500, "POST", "/SessionService/Sessions") },
        { name: "quotes-write", bmcFaults: quoting(400, "PATCH", "/Systems/1") },
        { name: "prints" },
        { name: "aborted" },
      ],
    },
    "127.0.0.1",
    { PITSTOP_LOG_LEVEL: "debug" },
  );
  const { port } = JSON.parse(readFileSync(join(op.data, "temporal", "server.json"), "utf8")) as { port: number };
  temporal = await connectTemporal({ address: `127.0.0.1:${port}`, namespace: "default", configured: false });
  await op.addImage("noise");
  // The agent's settings lie three folders above a task's: its scripts run as root, so they can read the token.
  const print = `token=$(sed -n 's/.*Bearer \\([^"]*\\)"/\\1/p' ../../../curlrc)
echo "$token" >"${op.dir}/printed"
echo "mark ${MARK}; token $token"
echo "50 token $token" >"$PITSTOP_PROGRESS"
sleep 3
printf '{"token": "%s", "mark": "${MARK}"}' "$token" >"$PITSTOP_FINDING"
exit 3`;
  await op.apply(
    [
      { kind: "Action", name: "look", tasks: [{ name: "look", script: `echo ${MARK}` }] },
      { kind: "Action", name: "print", tasks: [{ name: "print", script: print }] },
      { kind: "Action", name: "stay", interactive: true },
    ]
      .map((action) => stringify({ ...action, image: "noise", mode: "active", params: { mark: { default: MARK } } }))
      .join("---\n"),
  );
  await giveWrongPassword("refused");
  await giveByEnvironment("good");
  await giveByProgram("prints");
  void listen();
  watching = setInterval(() => {
    for (const { haystack } of looks) lookAtProcesses(haystack);
  }, 100);
}, 240_000);
afterAll(async () => {
  clearInterval(watching);
  listening.abort();
  await temporal?.close();
  await op?.close();
}, 60_000);
beforeEach(() => onTestFailed(() => console.log(op.story.slice(-4_000))));

async function giveWrongPassword(name: string): Promise<void> {
  writeFileSync(join(op.data, "wrong-login"), `admin:${WRONG}`, { mode: 0o600 });
  await giveReference(name, { file: "wrong-login" });
}

/** Serve starts again with a password and its own token in its environment, as an operator's unit file would give them. */
async function giveByEnvironment(name: string): Promise<void> {
  const token = readFileSync(join(op.data, "token"), "utf8").trim();
  const secret = { BMC_OF_ENVIRONMENT: op.login(name), PITSTOP_TOKEN: token };
  await op.serve?.end("SIGTERM");
  Object.assign(op.env, secret);
  await op.startServe();
  // The commands that are typed are the operator's, and not children of the server.
  for (const variable of Object.keys(secret)) delete op.env[variable];
  await giveReference(name, { env: "BMC_OF_ENVIRONMENT" });
}

/** A program that says what it was given, as one that is not ours might in its log. */
async function giveByProgram(name: string): Promise<void> {
  const program = join(op.dir, "helper");
  writeFileSync(join(op.dir, "helper-login"), op.login(name), { mode: 0o600 });
  const script = `#!/bin/sh
cat /proc/$$/environ >>"${op.dir}/helper-environment"
cat "${op.dir}/helper-login"
`;
  writeFileSync(program, script, { mode: 0o700 });
  await giveReference(name, { exec: [program, "of-the-site"] });
}

async function giveReference(name: string, credentials: CredentialRef): Promise<void> {
  const document = op.target(name);
  const [control] = document.control;
  if (control && "redfish" in control) control.redfish.credentials = credentials;
  await op.apply(stringify(document));
}

/** What is of the moment: command lines of all, and what the server's own children were given. */
function lookAtProcesses(haystack: Haystack): void {
  haystack.addProcesses("command lines");
  const serve = op.serve?.child.pid;
  if (serve !== undefined) haystack.addChildren("children of the server", serve);
}

async function listen(): Promise<void> {
  const response = await op.rest("/api/v1/events", { signal: listening.signal });
  const reader = response.body?.pipeThrough(new TextDecoderStream());
  if (!reader) throw new Error("the event stream has no body");
  try {
    for await (const piece of reader) heard += piece;
  } catch {
    // The test is over.
  }
}

/** The secrets of this server, by name. */
function secrets(): Needles {
  const pem = (name: string) => readFileSync(join(op.data, "site", name), "utf8").split("\n")[1] ?? "";
  const passwords = ["good", "quotes-login", "quotes-write", "prints", "aborted"].map((name) => [
    `BMC password of ${name}`,
    op.login(name).split(":")[1] ?? "",
  ]);
  const printed = join(op.dir, "printed");
  return {
    ...Object.fromEntries(passwords),
    "wrong BMC password": WRONG,
    "operators' token": readFileSync(join(op.data, "token"), "utf8").trim(),
    "site's token key": readFileSync(join(op.data, "site", "token.key")),
    "CA's key": pem("ca.key"),
    "TLS key": pem("tls.key"),
    ...(existsSync(printed) ? { "agent's token": readFileSync(printed, "utf8").trim() } : {}),
  };
}

/** Puts everything that the server keeps and says before a search. */
async function search(haystack: Haystack): Promise<Haystack> {
  for await (const { workflowId, runId } of temporal.client.workflow.list()) {
    const history = await temporal.client.workflow.getHandle(workflowId, runId).fetchHistory();
    haystack.add("histories", withBytes(JSON.stringify(history)));
  }
  haystack.add("log", op.serve?.said ?? "");
  haystack.add("events", heard);
  for (const path of ["/metrics", "/openapi.json", "/healthz", "/readyz"]) haystack.add(path, await text(path));
  for (const kind of ["targets", "images", "actions", "sessions", "campaigns"]) {
    haystack.add(kind, await text(`/api/v1/${kind}`));
  }
  for (const target of ["good", "refused", "quotes-login", "quotes-write", "prints", "aborted"]) {
    haystack.add("records", await text(`/api/v1/sessions/${target}`));
    haystack.add("shown logs", (await op.run("session", "logs", target)).out);
    haystack.add("shown sessions", (await op.run("session", "show", target, "-o", "json")).out);
  }
  haystack.add("problems", await text(`/api/v1/sessions/${MARK}`));
  haystack.add("problems", await text("/api/v1/sessions", { method: "POST", body: `{"target": "${MARK}"}` }));
  const wrongToken = { authorization: `Bearer ${op.login("good")}` };
  haystack.add("problems", await (await fetch(`${op.url}/api/v1/targets`, { headers: wrongToken })).text());
  // The lab is the world, not the server: what it knows, machines and BMCs know.
  for (const name of readdirSync(op.data).filter((one) => one !== "lab")) haystack.addFolder("data", op.data, name);
  lookAtProcesses(haystack);
  haystack.add("environment of a credential's program", readFileSync(join(op.dir, "helper-environment")));
  return haystack;
}

const text = async (path: string, init: RequestInit = {}): Promise<string> => {
  const headers = { "content-type": "application/json" };
  return await (await op.rest(path, { ...init, headers })).text();
};

/** Where a secret has to lie, each by itself and with mode 0600: whoever is root here has them anyway. */
const KEPT_BY_DESIGN = [
  /^data\/token: operators' token$/,
  /^data\/site\/token\.key: site's token key$/,
  /^data\/site\/ca\.key: CA's key$/,
  /^data\/site\/tls\.key: TLS key$/,
  // What the references of the documents lead to.
  /^data\/wrong-login: wrong BMC password$/,
];
const leaks = ({ found }: Haystack) =>
  [...found].filter((one) => !KEPT_BY_DESIGN.some((place) => place.test(one))).sort();

test("the secrets of a server are in nothing that it keeps or says, while sessions run and afterwards", {
  timeout: 300_000,
}, async () => {
  const early = { needles: secrets(), haystack: new Haystack(secrets()) };
  looks.push(early);
  const exits = Object.fromEntries(
    await Promise.all(
      [
        ["good", "look"],
        ["refused", "look"],
        ["quotes-login", "look"],
        ["quotes-write", "look"],
        ["prints", "print"],
      ].map(async ([target = "", action = ""]) => [target, (await op.run("run", target, "-a", action, "--wait")).exit]),
    ),
  );
  expect(exits).toMatchObject({ good: 0, refused: 1, prints: 1 });
  expect((await op.run("run", "aborted", "-a", "stay")).exit).toBe(0);
  await op.untilPhase("aborted", "working");

  // While a session is open, with its nonce in the site's journal and nowhere else.
  const nonce = await until("the nonce is in the journal", async () => spentNonce("aborted"), 30_000);
  const during = await search(new Haystack({ ...secrets(), nonce }));
  expect(leaks(during)).toEqual(["data/site/journal/aborted.json: nonce"]);

  expect((await op.run("session", "abort", "aborted")).exit).toBe(0);
  await op.untilEnded("aborted");
  const after = await search(new Haystack({ ...secrets(), nonce }));
  expect(leaks(after)).toEqual([]);
  expect(leaks(early.haystack)).toEqual([]);
  for (const target of ["quotes-login", "quotes-write"]) {
    const history = withBytes(
      JSON.stringify(await temporal.client.workflow.getHandle(`maintenance/${target}`).fetchHistory()),
    );
    expect(QUOTED_TOKEN.test(history), `${target}: a BMC's token in its history`).toBe(false);
    expect(history.includes("[redacted]"), `${target}: its BMC has quoted a request`).toBe(true);
  }
});

test("the same search finds what is there, in each of these places", { timeout: 300_000 }, async () => {
  const journal = new Haystack({ mark: MARK });
  expect((await op.run("run", "good", "-a", "stay")).exit).toBe(0);
  await op.untilPhase("good", "working");
  journal.addFolder("data", op.data, "site/journal");
  expect([...journal.found]).toEqual(["data/site/journal/good.json: mark"]);
  expect((await op.run("session", "abort", "good")).exit).toBe(0);
  await op.untilEnded("good");

  const known = {
    mark: MARK,
    route: "/api/v1/sessions",
    name: "quotes-login",
    metric: "pitstop_",
    health: "ok",
    serve: "serve",
    home: `HOME=${op.dir}`,
  };
  const { found } = await search(new Haystack({ ...known, ...secrets() }));
  expect([...found]).toContain("data/token: operators' token");
  const places = [...found].filter((one) => Object.keys(known).some((name) => one.endsWith(`: ${name}`)));
  for (const place of [
    ...["histories: mark", "log: name", "events: name", "records: mark", "shown logs: mark", "shown sessions: mark"],
    ...[
      "/metrics: metric",
      "/openapi.json: route",
      "targets: name",
      "actions: mark",
      "sessions: name",
      "problems: mark",
    ],
    "command lines: serve",
    ...["children of the server: home", "environment of a credential's program: home"],
  ]) {
    expect(places).toContain(place);
  }
  // Of the folder: the catalogue, Temporal's database, objects. (The journal's files are gone with their sessions.)
  for (const part of ["data/database/", "data/temporal/", "data/objects/"]) {
    expect(
      places.filter((place) => place.startsWith(part) && place.endsWith(": mark")),
      part,
    ).not.toEqual([]);
  }
});

function spentNonce(target: string): string | null {
  const folder = join(op.data, "site", "journal");
  const file = readdirSync(folder).find((name) => name === `${target}.json`);
  if (!file) return null;
  return (
    (JSON.parse(readFileSync(join(folder, file), "utf8")) as { boot: { spentNonce: string | null } | null }).boot
      ?.spentNonce ?? null
  );
}
