import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Agent, request } from "undici";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFailed, test } from "vitest";
import { stringify } from "yaml";
import type { SessionRecord } from "../../src/domain/record.js";
import type { Target } from "../../src/domain/target.js";
import { freePort } from "../support/free-port.js";
import { type Home, Operator } from "../support/operator.js";
import { perTier } from "../support/tier.js";

let op: Operator;
const names = [
  "password",
  "credentials",
  "fingerprint",
  "machine",
  "system",
  "silent-bmc",
  "digest",
  "image-file",
  "pending",
  "busy",
  "still",
];

beforeAll(async () => {
  op = await Operator.start({ machines: names.map((name) => ({ name })) });
  await op.addImage("noise");
  await op.addImage("changed");
  writeFileSync(join(op.data, "images", "changed", "changed-vmlinuz"), "another kernel");
  await op.addImage("gone");
  rmSync(join(op.data, "images", "gone", "gone-initrd"));
  await op.apply(`
kind: Action
name: look
image: noise
mode: active
params: {depth: {default: "1"}}
tasks: [{name: look, script: "sleep 3; echo done"}]
---
kind: Action
name: hold
image: noise
mode: active
interactive: true
tasks: []
`);
}, 240_000);
afterAll(() => op?.close(), 60_000);
beforeEach(() => onTestFailed(() => console.log(op.story)));

type Redfish = Extract<Target["control"][number], { redfish: unknown }>["redfish"];

/** Applies a target's document with a mistake in it. */
async function mistake(name: string, make: (redfish: Redfish, target: Target) => void): Promise<void> {
  const target = structuredClone(op.target(name));
  const [control] = target.control;
  if (!control || !("redfish" in control)) throw new Error("a lab's target has a redfish control");
  make(control.redfish, target);
  await op.apply(stringify(target));
}

interface Case {
  why: string;
  target: string;
  args?: string[];
  prepare?: () => Promise<void>;
  code: string;
  /** 2 where the documents were wrong by themselves, 1 where only the target could tell. */
  exit: 1 | 2;
  sentence: RegExp;
  logins: number;
}

const cases: Case[] = [
  {
    why: "the BMC's password is wrong",
    target: "password",
    prepare: () => {
      writeFileSync(join(op.data, "wrong-login"), "admin:guessed", { mode: 0o600 });
      return mistake("password", (redfish) => {
        redfish.credentials = { file: "wrong-login" };
      });
    },
    code: "unauthorized",
    exit: 1,
    sentence: /refused the user and password of the file wrong-login; correct them\. It is not tried again/,
    // Once, and never again: BMCs lock accounts.
    logins: 1,
  },
  {
    why: "the credential file is missing",
    target: "credentials",
    prepare: () =>
      mistake("credentials", (redfish) => {
        redfish.credentials = { file: "bmc/nobody" };
      }),
    code: "invalid",
    exit: 2,
    sentence: /^The credential file bmc\/nobody is not in \S+; create it with user:password in it\.$/,
    logins: 0,
  },
  {
    why: "the BMC shows another certificate",
    target: "fingerprint",
    prepare: () =>
      mistake("fingerprint", (redfish) => {
        redfish.tls = { fingerprint256: Array(32).fill("AB").join(":") };
      }),
    code: "refused",
    exit: 1,
    sentence:
      /^127\.0\.0\.1:\d+ shows the certificate \S+, but its document pins AB:AB\S*; nothing was sent\. .*tls\.fingerprint256/,
    logins: 0,
  },
  {
    why: "it is another machine",
    target: "machine",
    prepare: () =>
      mistake("machine", (_redfish, target) => {
        target.identity.uuid = "4c4c4544-0042-4810-8051-b4c04f4e4d31";
      }),
    code: "refused",
    exit: 1,
    sentence:
      /^machine is 4c4c4544-\S+ by its document, but the system 1 at \S+ is \S+; nothing was changed\. Correct /,
    logins: 1,
  },
  {
    why: "the BMC has no such system",
    target: "system",
    prepare: () =>
      mistake("system", (redfish) => {
        redfish.system = "2";
      }),
    code: "invalid",
    exit: 2,
    sentence: /^The BMC at \S+ has no system "2", but 1; correct control\.redfish\.system\.$/,
    logins: 1,
  },
  {
    why: "nobody answers at the BMC's address",
    target: "silent-bmc",
    prepare: () =>
      mistake("silent-bmc", (redfish) => {
        redfish.url = "https://127.0.0.1:9";
      }),
    code: "unreachable",
    exit: 1,
    sentence: /^127\.0\.0\.1:9 did not answer .*; see whether the BMC is up and the way there is open\.$/,
    logins: 0,
  },
  {
    why: "the image's bytes are not those of its digest",
    target: "digest",
    args: ["--image", "changed"],
    code: "refused",
    exit: 1,
    sentence: /^file:images\/changed\/changed-vmlinuz has the sha256 \S+, but the image says \S+; correct /,
    logins: 1,
  },
  {
    why: "a file of the image is missing",
    target: "image-file",
    args: ["--image", "gone"],
    code: "notFound",
    exit: 1,
    sentence: /^There is no file gone\/gone-initrd in the image folder \S+; put it there\.$/,
    logins: 1,
  },
  {
    why: "somebody else left a one-time boot override",
    target: "pending",
    prepare: () => armBySomebodyElse("pending"),
    code: "refused",
    exit: 1,
    sentence: /^pending has a one-time boot override pending \(Pxe\) that is not ours; clear it, .* and start again\.$/,
    logins: 1,
  },
];

describe("a session says in one sentence what is wrong, and changes nothing, when", () => {
  test.for(cases.map((each) => [each.why, each] as const))("%s", { timeout: 120_000 }, async ([, each]) => {
    const { target, args = [], prepare, code, exit, sentence, logins } = each;
    await prepare?.();
    const before = await stateOf(target);
    const seenBefore = op.seen(target).length;
    const said = await op.run("run", target, "-a", "look", ...args, "--wait", "--json");
    expect(said.exit).toBe(exit);
    const record = JSON.parse(said.out) as SessionRecord;
    expect(record).toMatchObject({ outcome: "failed", ending: "restored", untouched: true, failure: { code } });
    expect(record.failure?.message).toMatch(sentence);
    expect(said.err).toBe(
      `look on ${target}: failed (${record.failure?.message.replace(/\.$/, "")}); the target was not touched.\n`,
    );
    expect(record.powerActions).toEqual([]);

    expect(await stateOf(target)).toEqual(before);
    const seen = op.seen(target).slice(seenBefore);
    expect(seen.filter((line) => line.startsWith("power "))).toEqual([]);
    expect(seen.filter((line) => /^(PATCH|PUT|POST|DELETE) (?!\S*SessionService)/.test(line))).toEqual([]);
    expect(seen.filter((line) => line.startsWith("POST /redfish/v1/SessionService/Sessions "))).toHaveLength(logins);
    // The site and the catalogue hold nothing: the corrected target can go.
    expect(await op.run("get", "sessions", "--open", "--target", target)).toMatchObject({ out: "no sessions\n" });
  });
});

test("a corrected target goes, after the refusal that held nothing back", { timeout: 120_000 }, async () => {
  await op.apply(stringify(op.target("machine")));
  expect(await op.run("run", "machine", "-a", "look", "--wait")).toMatchObject({ exit: 0, err: "" });
});

test("a busy target is refused, and the session that holds it does not notice", { timeout: 120_000 }, async () => {
  // Until it is told that nothing more comes, however slow this host is.
  const first = op.run("run", "busy", "-a", "hold", "--wait");
  await op.untilPhase("busy", "working");
  expect(await op.run("run", "busy", "-a", "look", "--wait")).toEqual({
    exit: 2,
    out: "",
    err: 'busy is busy: a session holds it. "pitstop session show busy" tells which; wait for it, or abort it.\n',
  });
  expect(await op.run("delete", "target", "busy")).toMatchObject({
    exit: 2,
    err: expect.stringMatching(/^Target busy is not known to be home .*; end that session first\.\n$/),
  });
  expect(await op.run("session", "supply", "busy", "--last")).toMatchObject({ exit: 0 });
  expect(await first).toMatchObject({ exit: 0, err: "" });
});

const requests: [string[], RegExp][] = [
  [["run", "nowhere", "-a", "look"], /^There is no target nowhere; "pitstop get targets" lists them\.\n$/],
  [["run", "still", "-a", "lok"], /^There is no action lok; "pitstop get actions" lists them\.\n$/],
  [["run", "still", "-a", "look", "--image", "no"], /^There is no image no; "pitstop get images" lists them\.\n$/],
  [["run", "still", "-a", "look", "--param", "x=1"], /^look has no parameter "x"; it has depth\.\n$/],
  [["apply", "-f", "not-yaml.yaml"], /^not-yaml\.yaml:2:\d+: this is not valid YAML: .*\.\n$/],
  [
    ["apply", "-f", "field.yaml"],
    /^field\.yaml:12:5: tasks\[0\]\.timeot: there is no such field; the nearest one is timeout\.\n$/,
  ],
  [["apply", "-f", "kind.yaml"], /^kind\.yaml:1:7: kind: there is no "Acton"; the nearest one is Action\.\n$/],
  [["apply", "-f", "twice.yaml"], /^Target again has the MAC address \S+, which is target still's; .*\.\n$/],
  [["apply", "-f", "nothing.yaml"], /^The file nothing\.yaml cannot be read: it does not exist; correct the path\.\n$/],
];

test.for(requests)("%j is refused in one sentence, and nothing begins", async ([args, sentence]) => {
  op.write("not-yaml.yaml", "kind: Action\nname: x\n  mode: active\n");
  op.write("kind.yaml", "kind: Acton\nname: x\n");
  op.write("twice.yaml", stringify({ ...op.target("still"), name: "again" }));
  op.write(
    "field.yaml",
    "kind: Action\nname: good\nmode: passive\n---\nkind: Action\nname: wrong\nmode: active\nimage: noise\ntasks:\n" +
      "  - name: a\n    script: echo\n    timeot: 5m\n",
  );
  const before = await stateOf("still");
  const said = await op.run(...args);
  expect(said).toMatchObject({ exit: 2, out: "" });
  expect(said.err).toMatch(sentence);
  expect(await stateOf("still")).toEqual(before);
  expect(op.writes("still")).toEqual([]);
  // The first document of a file with a mistake in its second is not applied either.
  expect((await op.run("get", "actions", "-o", "json")).out).not.toContain('"good"');
});

const SHARED = ["PITSTOP_DATA", "PITSTOP_LISTEN", "PITSTOP_SITE_LISTEN", "PITSTOP_SITE_TLS_LISTEN"];
const SERVES = perTier("settings that a second serve shares", { fast: 2, deep: 4 });
test.for(SHARED.slice(0, SERVES))(
  "a second serve with the same %s says so in one sentence, and ends",
  { timeout: 120_000 },
  async (shared) => {
    const free = async () => `127.0.0.1:${await freePort()}`;
    const said = await op.type(["serve"], "", {
      PITSTOP_DATA: join(op.dir, `second-${shared}`),
      PITSTOP_LISTEN: await free(),
      PITSTOP_SITE_LISTEN: await free(),
      PITSTOP_SITE_TLS_LISTEN: await free(),
      [shared]: op.env[shared],
    });
    expect(said.exit).toBe(2);
    expect(said.err).toMatch(
      shared === "PITSTOP_DATA"
        ? /^The site's journal is in use by process \d+ \(lock .*\); stop that one, or give this one another PITSTOP_DATA\.\n$/
        : /^The address 127\.0\.0\.1:\d+ cannot be listened on \(EADDRINUSE\); set PITSTOP_\w+ to a free one\.\n$/,
    );
    if (shared !== "PITSTOP_DATA")
      expect(said.err).toContain(`${op.env[shared]} cannot be listened on (EADDRINUSE); set ${shared} to`);
    // The first one goes on.
    expect(await op.run("get", "actions")).toMatchObject({ exit: 0 });
  },
);

test("without a server the command says where it looked, and exits 4", async () => {
  const closed = await op.type(["get", "targets"], "", { PITSTOP_URL: "http://127.0.0.1:9" });
  expect(closed).toMatchObject({ exit: 4, out: "" });
  expect(closed.err).toMatch(/^No Pitstop server answers at http:\/\/127\.0\.0\.1:9 \(.*\); start one with .*\.\n$/);
  const stranger = await op.type(["get", "targets"], "", { PITSTOP_TOKEN: "not-the-right-token" });
  expect(stranger).toMatchObject({ exit: 2, out: "" });
  expect(stranger.err.trim().split("\n")).toHaveLength(1);
});

/** What a refusal must not change: the system that runs, its disk, the BMC's memory. */
async function stateOf(name: string): Promise<{ home: Home; bmc: ReturnType<Operator["bmc"]> }> {
  return { home: await op.home(name), bmc: op.bmc(name) };
}

async function armBySomebodyElse(name: string): Promise<void> {
  const { statusCode, body } = await request(`${redfishUrl(name)}/redfish/v1/Systems/1`, {
    method: "PATCH",
    dispatcher: new Agent({ connect: { rejectUnauthorized: false } }),
    headers: {
      authorization: `Basic ${Buffer.from(op.login(name)).toString("base64")}`,
      "content-type": "application/json",
    },
    body: JSON.stringify({ Boot: { BootSourceOverrideEnabled: "Once", BootSourceOverrideTarget: "Pxe" } }),
  });
  await body.dump();
  expect(statusCode).toBe(200);
  expect(op.bmc(name).override).toMatchObject({ enabled: "Once", target: "Pxe" });
}

function redfishUrl(name: string): string {
  const [control] = op.target(name).control;
  return control && "redfish" in control ? control.redfish.url : "";
}
