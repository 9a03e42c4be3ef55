import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { pino } from "pino";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { EventBus } from "../../src/api/events.js";
import { startApi } from "../../src/api/server.js";
import { carriesToken, operatorToken } from "../../src/api/token.js";
import { PitstopError } from "../../src/domain/errors.js";
import { action, image, record, target } from "../catalogue/samples.js";
import { pythonPrograms } from "../support/python.js";
import { statusOf } from "./fake-session-service.js";
import { type Rig, startRig, TOKEN } from "./running.js";

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
});
afterAll(() => rig.stop());

const BASE = "/api/v1";
async function call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  const yaml = typeof body === "string";
  const response = await fetch(`${rig.api.url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${TOKEN}`,
      ...(body === undefined ? {} : { "content-type": yaml ? "application/yaml" : "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: yaml ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const json = response.headers.get("content-type")?.includes("json") ? JSON.parse(text) : null;
  return { status: response.status, type: response.headers.get("content-type"), headers: response.headers, text, json };
}

describe("targets, images and actions", () => {
  it("go in, come out, change and go", async () => {
    const one = target("t1", 1);
    expect(await call("PUT", `${BASE}/targets/t1`, one)).toMatchObject({
      status: 201,
      json: { kind: "Target", name: "t1", result: "created" },
    });
    expect(await call("PUT", `${BASE}/targets/t1`, one)).toMatchObject({ status: 200, json: { result: "unchanged" } });
    expect(await call("POST", `${BASE}/targets`, { ...one, labels: { rack: "r9" } })).toMatchObject({
      status: 200,
      json: { result: "changed" },
    });
    expect((await call("GET", `${BASE}/targets/t1`)).json).toEqual({ ...one, labels: { rack: "r9" } });
    expect((await call("GET", `${BASE}/targets?select=rack%3Dr9`)).json.items).toHaveLength(1);
    expect((await call("GET", `${BASE}/targets?select=rack%3Dr1`)).json).toEqual({ items: [] });
    expect(await call("DELETE", `${BASE}/targets/t1`)).toMatchObject({ status: 204, text: "" });
    expect(await call("GET", `${BASE}/targets/t1`)).toMatchObject({
      status: 404,
      type: "application/problem+json; charset=utf-8",
      json: { code: "notFound", detail: 'There is no target t1; "pitstop get targets" lists them.' },
    });
    for (const [path, document] of [
      ["images", image("i1")],
      ["actions", action("a1", "i1")],
    ] as const) {
      expect((await call("POST", `${BASE}/${path}`, document)).status).toBe(201);
      expect((await call("GET", `${BASE}/${path}`)).json.items).toEqual([document]);
    }
    expect((await call("DELETE", `${BASE}/images/i1`)).json).toMatchObject({ status: 409, code: "conflict" });
  });

  it("are refused with the field's path", async () => {
    const bad = { ...target("t1", 1), boot: { firmware: "uefi", via: ["floppy"] } };
    expect(await call("POST", `${BASE}/targets`, bad)).toMatchObject({
      status: 400,
      type: "application/problem+json; charset=utf-8",
      json: {
        type: "urn:pitstop:problem:invalid",
        title: "The request is not valid",
        status: 400,
        detail: "boot.via[0]: it is uefi-http, pxe or virtual-media.",
        code: "invalid",
      },
    });
    expect((await call("PUT", `${BASE}/targets/other`, target("t1", 1))).json.detail).toBe(
      "name: the document is named t1 and the address says other; make them the same.",
    );
    expect((await call("GET", `${BASE}/targets?select=rack`)).json.detail).toBe(
      'The selector "rack" cannot be read: "rack" is not key=value; write key=value,key=value.',
    );
  });

  it("come as a YAML file, checked whole before the first is applied", async () => {
    const good = "kind: Action\nname: from-yaml\nmode: passive\n";
    expect((await call("POST", `${BASE}/documents?dryRun=true`, good)).json).toEqual({
      results: [{ kind: "Action", name: "from-yaml", result: "valid" }],
    });
    expect((await call("GET", `${BASE}/actions/from-yaml`)).status).toBe(404);
    expect(
      (await call("POST", `${BASE}/documents?file=x.yaml`, `${good}---\nkind: Action\nname: bad\n`)).json,
    ).toMatchObject({
      status: 400,
      detail: "x.yaml:5:1: mode: this field is missing; it is active or passive.",
    });
    expect((await call("GET", `${BASE}/actions/from-yaml`)).status).toBe(404);
    expect((await call("POST", `${BASE}/documents`, good)).json.results[0].result).toBe("created");
  });
});

describe("sessions", () => {
  beforeEach(async () => {
    rig.sessions.asked.length = 0;
    rig.sessions.statuses.clear();
    rig.sessions.failure = null;
    await rig.catalogue.apply(target("t1", 1));
    await rig.catalogue.apply(target("t2", 2));
    await rig.catalogue.apply(action("look"));
  });

  it("start on one target, or on each of several", async () => {
    const body = { target: "t1", action: "look", params: { depth: "2" }, requestedBy: "ada" };
    const one = await call("POST", `${BASE}/sessions`, body);
    expect(one).toMatchObject({ status: 201, json: { refused: [] } });
    expect(one.json.started).toEqual([
      { target: "t1", session: expect.stringMatching(/^session-/), workflowId: "maintenance/t1" },
    ]);
    expect(rig.sessions.asked).toEqual([["start", { ...body, restoreOnly: false }]]);
    const several = await call("POST", `${BASE}/sessions`, { targets: ["t1", "t2", "nowhere"], action: "look" });
    expect(several.json.started.map((s: { target: string }) => s.target)).toEqual(["t2"]);
    const codes = several.json.refused.map((r: { target: string; problem: { code: string } }) => [
      r.target,
      r.problem.code,
    ]);
    expect(codes.sort()).toEqual([
      ["nowhere", "notFound"],
      ["t1", "busy"],
    ]);
  });

  it.each([
    [{ action: "look" }, 400, "target: name one target, or several as targets."],
    [{ target: "t1" }, 400, "action: name the action."],
    [
      { target: "t1", action: "look", params: { A: "x" } },
      400,
      "params.A: a parameter is lower-case letters, digits and '_'.",
    ],
    [{ target: "nope", action: "look" }, 404, 'There is no target nope; "pitstop get targets" lists them.'],
    [{ target: "t1", action: "nope" }, 404, 'There is no action nope; "pitstop get actions" lists them.'],
    [{ target: "t1", action: "look", image: "nope" }, 404, 'There is no image nope; "pitstop get images" lists them.'],
  ])("refuse %j", async (body, status, detail) => {
    expect(await call("POST", `${BASE}/sessions`, body)).toMatchObject({ status, json: { detail } });
    expect(rig.sessions.asked).toEqual([]);
  });

  it("are shown by session id before their first record, then merged with their live status, and as kept when ended", async () => {
    const { json } = await call("POST", `${BASE}/sessions`, { target: "t1", action: "look" });
    const id: string = json.started[0].session;
    expect((await call("GET", `${BASE}/sessions/${id}`)).json).toMatchObject({
      session: id,
      phase: "planning",
      endedAt: null,
    });
    await rig.catalogue.putRecord(record(id, "t1", { phase: "capturing", notes: ["kept"] }));
    rig.sessions.statuses.set("t1", statusOf(id, "t1", "look", { phase: "working", outcome: "failed" }));
    for (const name of [id, "t1"]) {
      expect((await call("GET", `${BASE}/sessions/${name}`)).json).toMatchObject({
        session: id,
        phase: "working",
        outcome: "failed",
        notes: ["kept"],
      });
    }
    rig.sessions.failure = new PitstopError("unreachable", "Temporal is away.");
    expect((await call("GET", `${BASE}/sessions/${id}`)).json).toMatchObject({ phase: "capturing" });
    rig.sessions.failure = null;
    const endedAt = "2026-01-01T00:10:00.000Z";
    await rig.catalogue.putRecord(record(id, "t1", { phase: "restored", ending: "restored", endedAt }));
    expect((await call("GET", `${BASE}/sessions/${id}`)).json).toMatchObject({ phase: "restored", ending: "restored" });
    expect((await call("GET", `${BASE}/sessions/unknown-one`)).json.detail).toBe(
      'There is no session unknown-one, nor a target unknown-one with one; "pitstop get sessions" lists them.',
    );
  });

  it("show a target's running session rather than its last one's record", async () => {
    const endedAt = "2026-01-01T00:10:00.000Z";
    await rig.catalogue.putRecord(record("old", "t2", { phase: "restored", ending: "restored", endedAt }));
    rig.sessions.statuses.set("t2", statusOf("new", "t2", "look"));
    expect((await call("GET", `${BASE}/sessions/t2`)).json).toMatchObject({ session: "new", phase: "planning" });
    rig.sessions.statuses.set("t2", statusOf("new", "t2", "look", { phase: "restored" }));
    expect((await call("GET", `${BASE}/sessions/t2`)).json).toMatchObject({ session: "old" });
  });

  it("do not show a target's last record for one that has begun since and does not answer", async () => {
    const endedAt = "2026-01-01T00:10:00.000Z";
    await rig.catalogue.putRecord(record("last", "t3", { phase: "restored", ending: "restored", endedAt }));
    const show = async (id: string) => await call("GET", `${BASE}/sessions/${id}`);
    const away = { status: 503, json: { detail: "No worker answers." } };
    rig.sessions.silence = new PitstopError("unreachable", "No worker answers.");
    // Nothing is open there: the last one is meant.
    expect((await show("t3")).json).toMatchObject({ session: "last" });
    rig.sessions.statuses.set("t3", statusOf("new", "t3", "look"));
    expect(await show("t3")).toMatchObject(away);
    expect((await show("last")).json).toMatchObject({ session: "last", endedAt });
    await rig.catalogue.putRecord(
      record("new", "t3", { startedAt: "2026-01-02T00:00:00.000Z", phase: "capturing", endedAt: null }),
    );
    expect((await show("t3")).json).toMatchObject({ session: "new", phase: "capturing" });
    rig.sessions.silence = null;
    rig.sessions.failure = new PitstopError("unreachable", "Temporal is away.");
    await rig.catalogue.putRecord(
      record("new", "t3", { startedAt: "2026-01-02T00:00:00.000Z", phase: "restored", ending: "restored", endedAt }),
    );
    // Whether another one has begun since, nobody can tell.
    expect(await show("t3")).toMatchObject({ status: 503, json: { detail: "Temporal is away." } });
    expect((await show("new")).json).toMatchObject({ session: "new", endedAt });
    rig.sessions.failure = null;
  });

  it("are listed newest first, without what makes a record large", async () => {
    await rig.catalogue.putRecord(record("l1", "lt", { startedAt: "2026-02-01T00:00:00.000Z", findings: { a: 1 } }));
    await rig.catalogue.putRecord(
      record("l2", "lt", { startedAt: "2026-02-02T00:00:00.000Z", endedAt: "2026-02-02T00:01:00.000Z" }),
    );
    const ids = async (query: string) =>
      (await call("GET", `${BASE}/sessions?${query}`)).json.items.map((r: { session: string }) => r.session);
    expect(await ids("target=lt")).toEqual(["l2", "l1"]);
    expect(await ids("target=lt&open=true")).toEqual(["l1"]);
    expect(await ids("target=lt&limit=1")).toEqual(["l2"]);
    expect((await call("GET", `${BASE}/sessions?target=lt`)).json.items[1]).not.toHaveProperty("findings");
    expect((await call("GET", `${BASE}/sessions?limit=0`)).json.detail).toBe("limit: at least 1 is needed here.");
  });

  it("lists the other sessions where one record is of a version that it cannot read", async () => {
    await rig.catalogue.putRecord(record("readable", "vt"));
    await rig.catalogue.putRecord({ ...record("odd", "vt"), phase: "hovering" as never });
    const { status, json } = await call("GET", `${BASE}/sessions?target=vt`);
    expect(status).toBe(200);
    expect(json.items.map((item: { session: string }) => item.session)).toEqual(["readable"]);
  });

  it("take what a person says, by session id or target", async () => {
    await rig.catalogue.putRecord(record("p1", "pt"));
    const ref = { target: "pt", session: "p1" };
    for (const verb of ["abort", "approve", "retry"]) {
      expect(await call("POST", `${BASE}/sessions/p1/${verb}`, { by: "ada", reason: "because" })).toMatchObject({
        status: 202,
        json: ref,
      });
      expect(rig.sessions.asked.at(-1)).toEqual([verb, ref, { by: "ada", reason: "because" }]);
    }
    await call("POST", `${BASE}/sessions/pt/release`, { by: "ada", reason: "seen it on the console" });
    expect(rig.sessions.asked.at(-1)).toEqual(["release", ref, { by: "ada", reason: "seen it on the console" }]);
    expect((await call("POST", `${BASE}/sessions/pt/release`, { by: "ada" })).json.detail).toBe(
      "reason: this field is missing.",
    );
    const task = { name: "more", script: "true" };
    expect((await call("POST", `${BASE}/sessions/pt/supply`, { by: "ada", task })).json).toEqual({
      ...ref,
      task: "task-7",
    });
    await call("POST", `${BASE}/sessions/pt/supply`, { by: "ada", last: true });
    expect(rig.sessions.asked.at(-1)).toEqual(["supply", ref, { by: "ada", task: null, last: true }]);
    expect((await call("POST", `${BASE}/sessions/pt/supply`, { by: "ada" })).json.detail).toBe(
      "task: give a task, or say that nothing more comes with last.",
    );
    const yaml = { text: "name: more\nscript: true\n", file: "task.yaml" };
    expect((await call("POST", `${BASE}/sessions/pt/supply`, { by: "ada", yaml })).json.detail).toBe(
      "task.yaml:2:9: script: text is expected here, and this is true or false; put it in quotes.",
    );
  });

  it("refuse what comes too late or means none", async () => {
    const endedAt = "2026-01-01T00:10:00.000Z";
    await rig.catalogue.putRecord(record("e1", "et", { ending: "restored", phase: "restored", endedAt }));
    expect(await call("POST", `${BASE}/sessions/e1/abort`, { by: "ada" })).toMatchObject({
      status: 409,
      json: { detail: "Session e1 of target et has ended (restored); there is nothing to abort." },
    });
    expect((await call("POST", `${BASE}/sessions/et/abort`, {})).status).toBe(404);
  });

  it("give their tasks' logs", async () => {
    const logSha256 = rig.keepLog("hello from the image\n");
    const done = { status: "succeeded" as const, exitCode: 0, durationMs: 5, reason: null, findingSha256: null };
    const tasks = [
      { ...done, id: "1", name: "look", logSha256 },
      { ...done, id: "2", name: "silent", logSha256: null },
    ];
    await rig.catalogue.putRecord(record("g1", "gt", { tasks, endedAt: "2026-01-01T00:10:00.000Z" }));
    expect((await call("GET", `${BASE}/sessions/g1/logs`)).json.items).toEqual([
      { task: "1", name: "look", status: "succeeded", sha256: logSha256 },
    ]);
    const log = await call("GET", `${BASE}/sessions/g1/logs/look`);
    expect(log).toMatchObject({ status: 200, type: "text/plain; charset=utf-8", text: "hello from the image\n" });
    expect((await call("GET", `${BASE}/sessions/g1/logs/silent`)).status).toBe(404);
  });
});

describe("campaigns", () => {
  it("start and are shown with their sessions", async () => {
    const started = await call("POST", `${BASE}/campaigns`, { select: "rack=r1", action: "look" });
    expect(started).toMatchObject({ status: 201, json: { id: "campaign/1" } });
    await rig.catalogue.putRecord(record("c1", "ct", { campaign: "campaign/1" }));
    const shown = await call("GET", `${BASE}/campaigns/${encodeURIComponent("campaign/1")}`);
    expect(shown.json).toMatchObject({ id: "campaign/1", running: true, sessions: [{ session: "c1" }] });
    expect((await call("GET", `${BASE}/campaigns/none`)).json.detail).toBe(
      'There is no campaign none; "pitstop campaign list" lists them.',
    );
    expect((await call("GET", `${BASE}/campaigns`)).json).toEqual({
      items: [{ id: "campaign/1", running: true, startedAt: "2026-01-01T00:00:00.000Z", endedAt: null }],
    });
    expect((await call("GET", `${BASE}/campaigns?limit=many`)).json.detail).toBe(
      "limit: a number is expected here, and this is text.",
    );
    expect((await call("POST", `${BASE}/campaigns`, { action: "look", atOnce: 0 })).json.detail).toBe(
      "atOnce: at least 1 is needed here.",
    );
  });
});

describe("a repeated POST", () => {
  it("with the same Idempotency-Key gets the first answer; with another body it is refused", async () => {
    await rig.catalogue.apply(target("once", 77));
    const body = { target: "once", action: "look" };
    const headers = { "idempotency-key": "k-1" };
    const first = await call("POST", `${BASE}/sessions`, body, headers);
    const second = await call("POST", `${BASE}/sessions`, body, headers);
    expect(second.json).toEqual(first.json);
    expect(second.status).toBe(201);
    expect(second.headers.get("idempotent-replayed")).toBe("true");
    expect(await call("POST", `${BASE}/sessions`, { ...body, requestedBy: "eve" }, headers)).toMatchObject({
      status: 409,
      json: { code: "conflict", detail: "This Idempotency-Key was used for another request; use a new one." },
    });
    expect((await call("POST", `${BASE}/sessions`, body, { "idempotency-key": "k-2" })).json.code).toBe("busy");
    expect((await call("POST", `${BASE}/sessions`, body, { "idempotency-key": "a b" })).status).toBe(400);
  });
});

describe("what HTTP itself refuses", () => {
  it("is told as a problem too", async () => {
    expect((await call("GET", "/api/v1/nodes")).json).toMatchObject({
      status: 404,
      detail: "There is no GET /api/v1/nodes; /openapi.json lists what there is.",
    });
    const broken = await fetch(`${rig.api.url}${BASE}/sessions`, {
      method: "POST",
      headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
      body: "{",
    });
    expect(broken.status).toBe(400);
    expect(await broken.json()).toMatchObject({ code: "invalid" });
    const large = await call("POST", `${BASE}/sessions`, { target: "x".repeat(3 * 1024 * 1024) });
    expect(large).toMatchObject({ status: 413, json: { code: "invalid" } });
    const form = await fetch(`${rig.api.url}${BASE}/sessions`, {
      method: "POST",
      headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/x-www-form-urlencoded" },
      body: "a=1",
    });
    expect(form.status).toBe(415);
  });

  it("keeps a defect's words to the log", async () => {
    rig.sessions.failure = new Error("secret detail");
    const answer = await call("POST", `${BASE}/sessions`, { target: "t2", action: "look" });
    rig.sessions.failure = null;
    expect(answer).toMatchObject({ status: 500, json: { code: "internal" } });
    expect(answer.text).not.toContain("secret");
  });

  it("says that a part is away, and when to come again", async () => {
    rig.sessions.failure = new PitstopError("unreachable", "Temporal does not answer; see that it runs.");
    const answer = await call("POST", `${BASE}/sessions`, { target: "t2", action: "look" });
    rig.sessions.failure = null;
    expect(answer).toMatchObject({ status: 503, json: { detail: "Temporal does not answer; see that it runs." } });
    expect(answer.headers.get("retry-after")).toBe("5");
  });
});

describe("the token", () => {
  it("is wanted everywhere but for health, metrics and the API's description", async () => {
    const status = async (path: string, authorization?: string) => {
      const response = await fetch(`${rig.api.url}${path}`, { headers: authorization ? { authorization } : {} });
      await response.arrayBuffer();
      return response.status;
    };
    for (const path of ["/healthz", "/readyz", "/metrics", "/openapi.json"]) expect(await status(path)).toBe(200);
    for (const path of ["targets", "sessions", "events", "nothing"]) {
      expect(await status(`${BASE}/${path}`)).toBe(401);
      expect(await status(`${BASE}/${path}`, "Bearer wrong")).toBe(401);
      expect(await status(`${BASE}/${path}`, `Basic ${TOKEN}`)).toBe(401);
    }
    const refused = await call("GET", `${BASE}/targets`, undefined, { authorization: "" });
    expect(refused.headers.get("www-authenticate")).toBe('Bearer realm="pitstop"');
    expect(refused.json.code).toBe("unauthorized");
    expect(refused.headers.get("access-control-allow-origin")).toBeNull();
  });

  it("is compared whole", () => {
    expect(carriesToken(`Bearer ${TOKEN}`, TOKEN)).toBe(true);
    expect(carriesToken(`bearer  ${TOKEN}`, TOKEN)).toBe(true);
    for (const header of [undefined, "", "Bearer", `Bearer ${TOKEN}x`, `Bearer ${TOKEN.slice(1)}`, TOKEN]) {
      expect(carriesToken(header, TOKEN)).toBe(false);
    }
  });

  it("is made once, for its owner's eyes", () => {
    const data = join(mkdtempSync(join(tmpdir(), "pitstop-token-")), "data");
    const token = operatorToken({ PITSTOP_DATA: data });
    expect(token.length).toBeGreaterThan(40);
    expect(operatorToken({ PITSTOP_DATA: data })).toBe(token);
    expect(statSync(join(data, "token")).mode & 0o777).toBe(0o600);
    expect(operatorToken({ PITSTOP_DATA: data, PITSTOP_TOKEN: "given-by-the-environment" })).toBe(
      "given-by-the-environment",
    );
    writeFileSync(join(data, "token"), "\n");
    expect(() => operatorToken({ PITSTOP_DATA: data })).toThrow("delete the file and a new one is made");
    rmSync(data, { recursive: true });
  });
});

describe("health and metrics", () => {
  it("say what is missing", async () => {
    expect((await call("GET", "/healthz")).json).toEqual({ status: "ok" });
    expect(await call("GET", "/readyz")).toMatchObject({ status: 200, json: { ready: true } });
    rig.sessions.checks = [{ name: "temporal", ok: false, detail: "does not answer" }];
    expect(await call("GET", "/readyz")).toMatchObject({
      status: 503,
      json: {
        ready: false,
        checks: [
          { name: "database", ok: true },
          { name: "temporal", ok: false, detail: "does not answer" },
        ],
      },
    });
    rig.sessions.checks = [{ name: "temporal", ok: true, detail: "answers" }];
  });

  it("count requests by route and sessions by phase", async () => {
    rig.events.publish({
      type: "session.ended",
      session: "s",
      target: "t",
      outcome: "succeeded",
      ending: "restored",
      untouched: false,
    });
    const { text } = await call("GET", "/metrics");
    expect(text).toContain('route="/api/v1/targets/:name",status="404"');
    expect(text).toContain('pitstop_sessions_open{phase="stranded"} 0');
    expect(text).toContain('pitstop_sessions_ended_total{outcome="succeeded",ending="restored"} 1');
  });
});

describe("/openapi.json", () => {
  it("describes every route, with named schemas and problems", async () => {
    const { json } = await call("GET", "/openapi.json");
    expect(json.openapi).toBe("3.1.0");
    expect(Object.keys(json.paths).sort()).toEqual(
      [
        ...["targets", "images", "actions"].flatMap((c) => [`${BASE}/${c}`, `${BASE}/${c}/{name}`]),
        `${BASE}/documents`,
        `${BASE}/sessions`,
        `${BASE}/sessions/{id}`,
        `${BASE}/sessions/{id}/logs`,
        `${BASE}/sessions/{id}/logs/{task}`,
        ...["abort", "approve", "retry", "release", "supply"].map((verb) => `${BASE}/sessions/{id}/${verb}`),
        `${BASE}/campaigns`,
        `${BASE}/campaigns/{id}`,
        `${BASE}/events`,
        "/healthz",
        "/readyz",
        "/metrics",
      ].sort(),
    );
    expect(Object.keys(json.components.schemas)).toEqual(
      expect.arrayContaining(["Problem", "SessionRecord", "TargetInput"]),
    );
    const get = json.paths[`${BASE}/sessions/{id}`].get;
    expect(get.responses["200"].content["application/json"].schema).toEqual({
      $ref: "#/components/schemas/SessionRecord",
    });
    expect(get.responses["4XX"].content["application/problem+json"].schema).toEqual({
      $ref: "#/components/schemas/Problem",
    });
  });

  it("is valid by openapi-spec-validator", { timeout: 300_000 }, async () => {
    const programs = await pythonPrograms("openapi", ["openapi-spec-validator==0.9.0"]);
    const file = join(mkdtempSync(join(tmpdir(), "pitstop-openapi-")), "openapi.json");
    writeFileSync(file, (await call("GET", "/openapi.json")).text);
    expect(JSON.parse(readFileSync(file, "utf8"))).toHaveProperty("paths");
    const { stdout } = await execa(join(programs, "python3"), ["-m", "openapi_spec_validator", file]);
    expect(stdout).toContain("OK");
  });
});

describe("the listener", () => {
  it("says in one sentence that its address is taken", async () => {
    const port = Number(new URL(rig.api.url).port);
    const second = startApi({
      config: { PITSTOP_LISTEN: { host: "127.0.0.1", port } },
      catalogue: rig.catalogue,
      sessions: rig.sessions,
      events: new EventBus(),
      log: pino({ level: "silent" }),
      token: TOKEN,
    });
    await expect(second).rejects.toMatchObject({
      code: "refused",
      message: `The address 127.0.0.1:${port} cannot be listened on (EADDRINUSE); set PITSTOP_LISTEN to a free one.`,
    });
  });
});
