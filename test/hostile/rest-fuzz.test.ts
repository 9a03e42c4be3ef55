import { type IncomingMessage, request } from "node:http";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Problem } from "../../src/api/messages.js";
import { type Rig, startRig, TOKEN } from "../api/running.js";
import { action, image, target } from "../catalogue/samples.js";
import { bounded } from "./attack.js";
import { mutate, place } from "./mutate.js";

const DOCUMENTS = [target("r1-n07", 7), image("img"), action("look", "img")];

let rig: Rig;
/** A server that knows something: what only fails behind a document that is there is reached too. */
beforeAll(async () => {
  rig = await startRig();
  for (const document of [DOCUMENTS[1], DOCUMENTS[0], DOCUMENTS[2]]) if (document) await rig.catalogue.apply(document);
});
afterAll(() => rig.stop());

/** Bodies that routes take, each of which goes to every route. */
const GOOD = [
  ...DOCUMENTS,
  { target: "r1-n07", action: "look", params: { depth: "2" }, requestedBy: "me" },
  { targets: ["r1-n07", "r1-n08"], restoreOnly: true },
  { targets: ["r1-n07"], action: "look", onBusy: "skip", atOnce: 3 },
  { select: "rack=r1", action: "look" },
  { by: "me", reason: "because" },
  { by: "me", task: { name: "more", script: "true", timeout: "5s" } },
  { by: "me", yaml: { text: "name: more\nscript: 'true'\n", file: "t.yaml" }, last: true },
];
const odd = fc.oneof(
  fc.constantFrom<unknown>(
    ...[null, true, -1, 1e308, "", "\u0000", "\ud800", [], {}, "__proto__", "..", "9".repeat(400), "1e9d", "a=b,,=c"],
  ),
  fc.string({ unit: "binary" }),
  fc.jsonValue({ maxDepth: 3 }),
);
const nearly = fc
  .record({ good: fc.constantFrom(...GOOD), value: odd, ...place })
  .map(({ good, steps, value, how }) => mutate(good, steps, value, how));
const json = fc.oneof(fc.constantFrom(...GOOD), nearly, fc.jsonValue()).map((value) => JSON.stringify(value));
const body = fc.oneof(
  { weight: 4, arbitrary: json },
  { weight: 1, arbitrary: json.map((value) => value.slice(0, -1)) },
  fc.constantFrom(
    "",
    "\u0000",
    '{"__proto__":{"a":1}}',
    "{",
    "[".repeat(50_000),
    "--- {}\n".repeat(1_000),
    "a: &a [*a]",
  ),
  fc.string({ unit: "binary" }),
);
const type = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom("application/json", "application/yaml", "text/yaml; charset=x") },
  fc.constantFrom(
    "text/plain",
    "multipart/;",
    "application/x-www-form-urlencoded",
    "application/json; charset=\xff",
    "",
  ),
);

const word = fc.oneof(
  fc.constantFrom("r1-n07", "look", "img", "session-1", "constructor", "__proto__", "x", "%00", "%2e%2e", "%zz", "*"),
  fc.string({ unit: "binary", maxLength: 300 }).map((any) => encodeURIComponent(Buffer.from(any).toString())),
);
const query = fc
  .array(fc.tuple(fc.constantFrom("select", "limit", "open", "target", "campaign", "file", "dryRun", "wait[]"), word), {
    maxLength: 3,
  })
  .map((pairs) => (pairs.length === 0 ? "" : `?${pairs.map(([name, value]) => `${name}=${value}`).join("&")}`));
const collection = fc.constantFrom("targets", "images", "actions", "documents", "sessions", "campaigns", "events", "x");
const path = fc.oneof(
  fc
    .tuple(
      collection,
      fc.array(word, { maxLength: 1 }),
      fc.constantFrom("", "abort", "approve", "retry", "release", "supply", "logs", "logs/look", "x"),
    )
    .map(([first, name, last]) => `/api/v1/${[first, ...name, ...(last === "" ? [] : [last])].join("/")}`),
  fc.constantFrom(
    "/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "//",
    "/api/v1",
    "/api/v2/targets",
    "*",
    "http://x/y",
  ),
);
const method = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom("GET", "POST", "PUT", "DELETE") },
  fc.constantFrom("HEAD", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "SEARCH", "PURGE"),
);
const headerText = fc.string({ unit: fc.integer({ min: 0x20, max: 0xff }).map((code) => String.fromCharCode(code)) });
const headers = fc.dictionary(
  fc.constantFrom(
    "idempotency-key",
    "accept",
    "last-event-id",
    "if-match",
    "range",
    "origin",
    "x-forwarded-for",
    "expect",
  ),
  headerText.filter((value) => !/\x7f/.test(value)),
  { maxKeys: 3 },
);

interface Answer {
  status: number;
  type: string;
  said: string;
}
async function ask(options: {
  method: string;
  path: string;
  headers: Record<string, string>;
  body: string;
}): Promise<Answer> {
  const { hostname, port } = new URL(rig.api.url);
  const sent = Buffer.from(options.body);
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const asked = request({
      ...{ hostname, port, method: options.method, path: options.path, agent: false },
      headers: { ...options.headers, authorization: `Bearer ${TOKEN}`, "content-length": String(sent.length) },
    });
    asked.on("response", resolve).on("error", reject).end(sent);
  });
  const kind = answer.headers["content-type"] ?? "";
  const status = answer.statusCode ?? 0;
  // The stream of events does not end by itself.
  if (status !== 200 || !kind.includes("event-stream")) return { status, type: kind, said: await text(answer) };
  answer.destroy();
  return { status, type: kind, said: "" };
}

/** No failure of the server; and whatever is refused is a problem with a sentence. */
function judge({ status, type: kind, said }: Answer, what: string, head = false): void {
  expect(status, `${what}: ${said}`).toBeLessThan(500);
  if (status < 400) return;
  expect(kind, `${what}: ${status} ${said}`).toContain("application/problem+json");
  if (head) return;
  const problem = Problem.parse(JSON.parse(said));
  expect(problem.status, what).toBe(status);
  expect(problem.detail, what).toMatch(/\w.*[.?]$/s);
}

/** What was asked broke nothing: the targets that are there can be read. */
async function stillServes(): Promise<void> {
  const answer = await ask({ method: "GET", path: "/api/v1/targets", headers: {}, body: "" });
  expect(answer.status, answer.said).toBe(200);
}

describe("whatever an operator's program sends with the token", () => {
  it("is answered without a failure of the server, and refused as a problem with a sentence", {
    timeout: 180_000,
  }, async () => {
    const seen = new Set<number>();
    await bounded(
      fc.asyncProperty(
        method,
        path,
        query,
        headers,
        type,
        body,
        async (verb, where, more, given, contentType, sent) => {
          const answer = await ask({
            ...{ method: verb, path: where + more, body: verb === "GET" || verb === "HEAD" ? "" : sent },
            headers: { ...given, "content-type": contentType },
          });
          seen.add(answer.status);
          judge(
            answer,
            `${verb} ${where}${more} ${JSON.stringify(given)} ${contentType} ${sent.slice(0, 500)}`,
            verb === "HEAD",
          );
        },
      ),
      { numRuns: 600 },
    );
    await stillServes();
    // The attack reaches what is behind the first refusal.
    for (const status of [200, 400, 404, 415]) expect([...seen]).toContain(status);
  });

  it("is refused as a problem where it is not even HTTP", { timeout: 60_000 }, async () => {
    const { port } = new URL(rig.api.url);
    const line = fc.constantFrom(
      "GET /healthz HTTP/1.1",
      "GET /healthz HTTP/9.9",
      "get / HTTP/1.1",
      "GET",
      "CONNECT x:1 HTTP/1.1",
      "POST /api/v1/sessions HTTP/1.1",
    );
    const field = fc.oneof(
      fc.constantFrom(
        "Host: x",
        "Host: x\r\nHost: y",
        "Content-Length: 2",
        "Content-Length: -1",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: x",
        "Upgrade: x\r\nConnection: upgrade",
        "Expect: x",
        `X: ${"a".repeat(20_000)}`,
        "a b: c",
        ": x",
      ),
      fc.string({ unit: "binary" }),
    );
    const message = fc
      .tuple(
        line,
        fc.array(field, { maxLength: 4 }),
        fc.oneof(fc.constantFrom("", "{}", "zz\r\n"), fc.string({ unit: "binary" })),
      )
      .map(
        ([first, fields, rest]) => `${[first, "Host: x", ...fields, "Connection: close"].join("\r\n")}\r\n\r\n${rest}`,
      );
    await bounded(
      fc.asyncProperty(message, async (bytes) => {
        const socket = connect(Number(port), "127.0.0.1");
        socket.on("error", () => {});
        socket.end(bytes);
        const said = await text(socket).catch(() => "");
        const [, code, rest] = /^HTTP\/1\.1 (\d{3}) [^\r]*\r\n([\s\S]*)$/.exec(said) ?? [];
        if (code === undefined || rest === undefined) {
          expect(said).toBe("");
          return;
        }
        const [head = "", ...parts] = rest.split("\r\n\r\n");
        const kind = /^content-type: (.*)$/im.exec(head)?.[1] ?? "";
        // What follows may be the answer to a second request, which the rest of the first one turned out to be.
        const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0);
        const chunked = /^transfer-encoding: chunked/im.test(head);
        judge(
          { status: Number(code), type: kind, said: chunked ? "" : parts.join("\r\n\r\n").slice(0, length) },
          JSON.stringify(bytes.slice(0, 500)),
          chunked,
        );
      }),
      { numRuns: 200 },
    );
    await stillServes();
  });
});
