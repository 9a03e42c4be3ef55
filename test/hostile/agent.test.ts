import { createHash } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { OTHER_BOOT_ID, PXE, planOf, TestSite } from "../boot/help.js";
import { bounded } from "./attack.js";

let site: TestSite;
let token: string;
beforeAll(async () => {
  site = await new TestSite().start();
  site.nowMs = Date.now();
  token = await site.token();
});
afterAll(() => site.dispose());

/** Whatever was asked before, the target's own agent is still served: nothing that was sent broke its session. */
async function stillServed(): Promise<void> {
  const answer = await site.agent("GET", "/agent/v1/next?wait=0", { token });
  // The fuzz is faster than an agent may be; then it is told to wait a second, and that is no harm.
  expect([200, 429], answer.text).toContain(answer.status);
}

const id = fc.oneof(
  fc.constantFrom("look-1", "constructor", "toString", "hasOwnProperty", "__proto__", "..", "%2e%2e", "%00", "%zz"),
  fc.string({ unit: "binary", maxLength: 300 }).map(encodeURIComponent_),
);
const path = fc.oneof(
  fc.constantFrom("/agent/v1/hello", "/agent/v1/next", "/agent/v1/done", "/agent/v1", "/agent/v2/hello"),
  fc
    .tuple(id, fc.constantFrom("progress", "result", "log", "", "x"))
    .map(([task, part]) => `/agent/v1/tasks/${task}/${part}`),
);
const query = fc.oneof(
  fc.constant(""),
  fc
    .tuple(
      fc.constantFrom("wait", "running", "offset", "wait[]", "__proto__"),
      fc.oneof(
        fc.constantFrom("0", "-1", "1e400", "NaN", "0x10", "9007199254740993", "", "look-1", "%00"),
        fc.string({ unit: "binary", maxLength: 40 }).map(encodeURIComponent_),
      ),
    )
    // A poll that waits would only make the test slow.
    .filter(([name, value]) => name !== "wait" || !(Number(value) > 0))
    .map(([name, value]) => `?${name}=${value}`),
);
const wellFormed = fc.record(
  {
    protocol: fc.constantFrom("1", "2", 1),
    nonce: fc.constantFrom("x".repeat(32), "", null),
    bootId: fc.constantFrom(OTHER_BOOT_ID, "", 7),
    macs: fc.oneof(fc.array(fc.string(), { maxLength: 70 }), fc.jsonValue()),
    uuid: fc.oneof(fc.string(), fc.jsonValue()),
    status: fc.constantFrom("succeeded", "failed", "x", null),
    exitCode: fc.oneof(fc.integer(), fc.double(), fc.constant(null)),
    durationMs: fc.oneof(fc.integer(), fc.double(), fc.constant(null)),
    outcome: fc.constantFrom("maybe", "", null, 1),
    message: fc.oneof(fc.string({ unit: "binary" }), fc.jsonValue()),
    percent: fc.oneof(fc.double(), fc.jsonValue()),
    finding: fc.jsonValue({ maxDepth: 4 }),
  },
  { requiredKeys: [] },
);
const body = fc.oneof(
  wellFormed.map((value) => JSON.stringify(value)),
  fc.json(),
  fc.string({ unit: "binary", maxLength: 200 }),
  fc.constantFrom("", "null", "[]", '{"__proto__":{"status":1}}', '{"constructor":{"prototype":{}}}', "\u0000", "{"),
  fc.integer({ min: 1, max: 30_000 }).map((deep) => `{"finding":${"[".repeat(deep)}${"]".repeat(deep)}}`),
  fc.nat(80_000).map((bytes) => JSON.stringify({ message: "x".repeat(bytes) })),
);
const type = fc.constantFrom(
  "application/json",
  "text/plain",
  "application/x-www-form-urlencoded",
  "x/y",
  "multipart/;",
);
const authorization = fc.oneof(
  { weight: 3, arbitrary: fc.constant("right") },
  { weight: 1, arbitrary: fc.constantFrom("none", "cut", "changed", "Basic eDp5") },
  { weight: 1, arbitrary: fc.stringMatching(/^[ -~]{0,300}$/) },
);

function encodeURIComponent_(text: string): string {
  return encodeURIComponent(Buffer.from(text).toString());
}

const authorizationOf = (which: string): Record<string, string> => {
  if (which === "right") return { authorization: `Bearer ${token}` };
  if (which === "none") return {};
  if (which === "cut") return { authorization: `Bearer ${token.slice(0, -1)}` };
  if (which === "changed") return { authorization: `Bearer ${token.replace("r1-n07", "r1-n08")}` };
  return { authorization: which };
};

describe("whatever an agent sends", () => {
  it("is answered, and never with a failure of the site", { timeout: 120_000 }, async () => {
    await bounded(
      fc.asyncProperty(
        fc.constantFrom("GET", "POST", "PUT"),
        fc.tuple(path, query).map(([a, b]) => a + b),
        authorization,
        fc.tuple(type, body),
        async (method, where, who, [contentType, text]) => {
          // An agent has so many requests a second: time goes on, or most of these would meet that bound and nothing else.
          site.nowMs = (site.nowMs ?? 0) + 100;
          const headers = { ...authorizationOf(who), "content-type": contentType };
          const answer = await site.agent(method as "GET", where, {
            headers,
            ...(method === "GET" ? {} : { bytes: text }),
          });
          expect(answer.status, `${method} ${where}: ${answer.text}`).toBeLessThan(500);
          if (who !== "right" && answer.status < 300) expect(where).toBe("a route that needs no token");
        },
      ),
      { numRuns: 400 },
    );
    await stillServed();
  });

  it("is kept in the session's journal only where it can be written again", async () => {
    const deep = `{"outcome":"failed","finding":${"[".repeat(20_000)}${"]".repeat(20_000)}}`;
    const refused = await site.agent("POST", "/agent/v1/done", { token, bytes: deep });
    expect(refused.status, refused.text).toBe(400);
    expect(site.site.entry("r1-n07")?.boot?.done).toBeNull();
    // What brings the target home has to be saved too.
    await expect(site.site.publish("r1-n07", planOf().session, 1, PXE, false)).resolves.toBeDefined();
    const sent = JSON.stringify({ status: "failed", exitCode: 1, durationMs: 1, finding: JSON.parse("[[[1]]]") });
    const kept = await site.agent("POST", "/agent/v1/tasks/look-1/result?wait=0", { token, bytes: sent });
    expect(kept.status, kept.text).toBe(200);
  });

  it("names a task of its own session, or is told that there is none: what every object has is no task", async () => {
    for (const name of ["constructor", "toString", "valueOf", "hasOwnProperty"]) {
      const result = { status: "succeeded", exitCode: 0, durationMs: 1 };
      const answers = [
        await site.agent("POST", `/agent/v1/tasks/${name}/progress`, { token, json: { message: "x" } }),
        await site.agent("PUT", `/agent/v1/tasks/${name}/log?offset=0`, { token, bytes: "x" }),
        await site.agent("POST", `/agent/v1/tasks/${name}/result`, { token, json: result }),
      ];
      expect(answers.map(({ status }) => status)).toEqual([404, 404, 404]);
    }
  });

  it("is a log in any pieces, of which the site keeps what follows without a gap", async () => {
    const fresh = await new TestSite().start();
    try {
      const own = await fresh.token();
      const whole = Buffer.alloc(0);
      let kept = whole;
      await bounded(
        fc.asyncProperty(fc.nat(3_000), fc.uint8Array({ maxLength: 2_000 }), async (offset, bytes) => {
          const piece = Buffer.from(bytes);
          const answer = await fresh.agent("PUT", `/agent/v1/tasks/look-1/log?offset=${offset}`, {
            token: own,
            bytes: piece,
          });
          if (answer.status === 429) return;
          if (offset > kept.length) {
            expect(answer.json).toMatchObject({ status: 409, offset: kept.length });
            return;
          }
          expect(answer.status, answer.text).toBe(200);
          kept = Buffer.concat([kept, piece.subarray(kept.length - offset)]);
        }),
        { numRuns: 60, endOnFailure: true },
      );
      await fresh.agent("POST", "/agent/v1/tasks/look-1/result", {
        token: own,
        json: { status: "succeeded", exitCode: 0, durationMs: 1 },
      });
      const digest = fresh.site.entry("r1-n07")?.results["look-1"]?.logSha256 ?? null;
      const expected = kept.length === 0 ? null : createHash("sha256").update(kept).digest("hex");
      expect(digest).toBe(expected);
    } finally {
      await fresh.dispose();
    }
  });
});
