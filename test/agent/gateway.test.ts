import { renameSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import pLimit from "p-limit";
import { describe, expect, it } from "vitest";
import "../support/seeded.js";
import { BOOT_ID, endOf, MAC, OTHER_BOOT_ID, PXE, planOf, sha256, sites, taskOf, UUID } from "../boot/help.js";

const newSite = sites();
const session = planOf().session;
/** 300 s, less what a slow machine took since. */
const LEASE: unknown = expect.closeTo(297, -1);
const noSignal = () => new AbortController().signal;
const result = (more: object = {}) => ({ status: "succeeded", exitCode: 0, durationMs: 12, reason: null, ...more });
const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe("hello", () => {
  it("spends the nonce for a token and tells the session, once for a repetition", async () => {
    const site = await newSite();
    await site.publish();
    const nonce = await site.nonce();
    const first = await site.hello(nonce);
    expect(first.status).toBe(200);
    expect(first.json).toEqual({ token: expect.any(String), session, mode: "active", leaseSeconds: LEASE, tasks: [] });
    expect(String(first.json.token)).toMatch(/^[A-Za-z0-9._~+/=-]{1,256}$/);
    expect((await site.hello(nonce)).json.token).toBe(first.json.token);
    expect(site.link.hellos).toHaveLength(1);
    expect(site.link.hellos[0]).toMatchObject({ bootId: BOOT_ID, uuid: UUID, macs: [MAC] });
  });

  it("with a nonce of nobody is turned away; of an earlier arming or of a withdrawn target it is sent home", async () => {
    const site = await newSite();
    await site.publish();
    const nonce = await site.nonce();
    expect((await site.hello("A".repeat(32))).status).toBe(401);
    expect((await site.hello(`${nonce.slice(0, -1)}${nonce.endsWith("A") ? "B" : "A"}`)).status).toBe(401);
    await site.site.publish("r1-n07", session, 2, PXE, false);
    expect((await site.hello(nonce)).status).toBe(410);
    const second = await site.nonce();
    await site.site.withdraw("r1-n07", session);
    expect((await site.hello(second)).status).toBe(410);
    expect((await site.hello(nonce)).status).toBe(410);
    expect(site.link.hellos).toEqual([]);
  });

  it.each(["the same nonce", "another nonce of the same arming"])(
    "from another boot with %s revokes both, and the session hears of it",
    async (which) => {
      const site = await newSite();
      await site.publish();
      const nonce = await site.nonce();
      const other = which === "the same nonce" ? nonce : await site.nonce();
      const { token } = (await site.hello(nonce)).json;
      const second = await site.hello(other, { bootId: OTHER_BOOT_ID });
      expect(second.status).toBe(410);
      expect(second.headers["content-type"]).toContain("application/problem+json");
      expect((await site.agent("GET", "/agent/v1/next", { token: String(token) })).status).toBe(410);
      expect((await site.hello(nonce)).status).toBe(410);
      expect(site.link.reboots).toEqual([{ bootId: OTHER_BOOT_ID, how: "a second hello came, from another boot" }]);
    },
  );

  it("from another machine is refused, and the nonce stays good for the right one", async () => {
    const site = await newSite();
    await site.publish();
    const nonce = await site.nonce();
    expect((await site.hello(nonce, { uuid: "5c4c4544-0042-4810-8051-b4c04f4e4d32" })).status).toBe(403);
    expect((await site.hello(nonce, { uuid: null, macs: ["52:54:00:00:00:99"] })).status).toBe(403);
    expect((await site.hello(nonce, { uuid: null, macs: [] })).status).toBe(200);
  });

  it("after the deadline, or for a session that is no more, goes home", async () => {
    const site = await newSite();
    const plan = planOf();
    await site.publish(plan);
    const nonce = await site.nonce();
    site.nowMs = endOf(plan) + 1;
    expect((await site.hello(nonce)).status).toBe(410);
    site.nowMs = null;
    site.link.fail = "gone";
    expect((await site.hello(nonce)).status).toBe(410);
    expect((await site.get(`/boot.ipxe?uuid=${UUID}&platform=efi`)).text).toBe("#!ipxe\nexit 1\n");
  });

  it("brings all tasks in passive mode, with scripts and parameters", async () => {
    const site = await newSite();
    const script = "echo $PARAM_DEPTH\n";
    await site.objects.put(Buffer.from(script));
    const tasks = [{ id: "burn-1", name: "burn", scriptSha256: sha256(script) }];
    await site.publish(planOf({ mode: "passive", tasks, params: { depth: "full" } }));
    const answer = await site.hello(await site.nonce());
    expect(answer.json.mode).toBe("passive");
    expect(answer.json.tasks).toEqual([
      {
        id: "burn-1",
        name: "burn",
        script,
        env: { PITSTOP_SESSION: session, PITSTOP_TARGET: "r1-n07", PARAM_DEPTH: "full" },
        timeoutSeconds: 60,
        unlock: [],
      },
    ]);
  });
});

describe("a token", () => {
  it("that is wrong, missing or of another site is 401; of an ended boot 410", async () => {
    const [site, other] = [await newSite(), await newSite()];
    const token = await site.token();
    const foreign = await other.token();
    const tampered = token.replace("r1-n07", "r1-n08");
    for (const wrong of [foreign, tampered, `${token}x`, token.slice(0, -2), "x", "p1~r1-n07~a~1~b~c"]) {
      expect((await site.agent("GET", "/agent/v1/next", { token: wrong })).status, wrong).toBe(401);
    }
    expect((await site.agent("GET", "/agent/v1/next")).status).toBe(401);
    await site.site.publish("r1-n07", session, 2, PXE, false);
    expect((await site.agent("GET", "/agent/v1/next", { token })).status).toBe(410);
    await site.site.withdraw("r1-n07", session);
    expect((await site.agent("GET", "/agent/v1/next", { token })).status).toBe(410);
    await site.site.close("r1-n07", session);
    expect((await site.agent("GET", "/agent/v1/next", { token })).status).toBe(401);
  });

  it("is known again after a restart, and after the loss of the journal once the session is back", async () => {
    const site = await newSite();
    const token = await site.token();
    await site.restart();
    expect((await site.agent("GET", "/agent/v1/next", { token })).json).toMatchObject({ do: "wait" });
    await site.site.close("r1-n07", session);
    expect((await site.agent("GET", "/agent/v1/next", { token })).status).toBe(401);
    await site.site.open(planOf(), session);
    expect((await site.agent("GET", "/agent/v1/next", { token })).json).toEqual({ do: "wait", leaseSeconds: LEASE });
    expect(site.site.entry("r1-n07")?.boot).toMatchObject({ epoch: 1, bootId: BOOT_ID });
  });
});

describe("the long poll", () => {
  it("is answered the moment a task is offered, and the offer the moment its result is there", async () => {
    const site = await newSite();
    const token = await site.token();
    const poll = site.agent("GET", "/agent/v1/next?wait=20", { token });
    await later(100);
    const offer = site.site.offer("r1-n07", session, taskOf("t-1", "echo hi\n"), noSignal());
    const startedAt = performance.now();
    expect((await poll).json).toMatchObject({
      do: "task",
      task: { id: "t-1", script: "echo hi\n" },
      leaseSeconds: LEASE,
    });
    expect(performance.now() - startedAt).toBeLessThan(15_000);
    const answer = await site.agent("POST", "/agent/v1/tasks/t-1/result", {
      token,
      json: result({ finding: { n: 1 } }),
    });
    expect(answer.json).toMatchObject({ do: "wait" });
    const kept = await offer;
    expect(kept).toMatchObject({ id: "t-1", status: "succeeded", logSha256: null, durationMs: 12 });
    expect(Buffer.from(await site.objects.get(kept.findingSha256 ?? "")).toString()).toBe('{"n":1}');
  });

  it("gives way to a newer one, and a task goes to one that has nothing in hand only", async () => {
    const site = await newSite();
    const token = await site.token();
    const older = site.agent("GET", "/agent/v1/next?wait=20", { token });
    await later(50);
    const newer = site.agent("GET", "/agent/v1/next?wait=20&running=t-0", { token });
    expect((await older).json).toMatchObject({ do: "wait" });
    void site.site.offer("r1-n07", session, taskOf("t-1"), noSignal()).catch(() => {});
    await later(50);
    const free = site.agent("GET", "/agent/v1/next?wait=5", { token });
    expect((await newer).json).toMatchObject({ do: "wait" });
    expect((await free).json).toMatchObject({ do: "task", task: { id: "t-1" } });
  });

  it("repeats a task whose answer may have been lost, but never in a busy loop", async () => {
    const site = await newSite();
    const token = await site.token();
    void site.site.offer("r1-n07", session, taskOf("t-1"), noSignal()).catch(() => {});
    expect((await site.agent("GET", "/agent/v1/next?wait=20", { token })).json).toMatchObject({ do: "task" });
    const startedAt = performance.now();
    expect((await site.agent("GET", "/agent/v1/next?wait=20", { token })).json).toMatchObject({ do: "task" });
    expect(performance.now() - startedAt).toBeGreaterThan(900);
  });

  it("is answered 410 when the target is withdrawn meanwhile, and the offer ends", async () => {
    const site = await newSite();
    const token = await site.token();
    const poll = site.agent("GET", "/agent/v1/next?wait=20&running=t-1", { token });
    await later(50);
    const offer = site.site.offer("r1-n07", session, taskOf("t-1"), noSignal());
    offer.catch(() => {});
    await later(50);
    await site.site.withdraw("r1-n07", session);
    expect((await poll).status).toBe(410);
    await expect(offer).rejects.toMatchObject({ code: "conflict" });
  });

  it("that waits while the site stops is not sent home", async () => {
    const site = await newSite();
    const token = await site.token();
    const poll = site.agent("GET", "/agent/v1/next?wait=20", { token }).then(
      (answer) => answer.status,
      () => "dropped",
    );
    await later(100);
    await site.running.close();
    expect([503, "dropped"]).toContain(await poll);
  });

  it("waits no longer than it was asked to", async () => {
    const site = await newSite();
    const token = await site.token();
    const startedAt = performance.now();
    expect((await site.agent("GET", "/agent/v1/next?wait=1", { token })).json).toMatchObject({ do: "wait" });
    expect(performance.now() - startedAt).toBeGreaterThan(900);
    expect(performance.now() - startedAt).toBeLessThan(15_000);
    expect((await site.agent("GET", "/agent/v1/next?wait=61", { token })).status).toBe(400);
  });
});

describe("a task", () => {
  it("is offered twice and run once; its first result counts, across a restart", async () => {
    const site = await newSite();
    const token = await site.token();
    const both = [1, 2].map(() => site.site.offer("r1-n07", session, taskOf("t-1"), noSignal()));
    const post = (exitCode: number) =>
      site.agent("POST", "/agent/v1/tasks/t-1/result", { token, json: result({ exitCode, status: "failed" }) });
    await later(20);
    expect((await Promise.all([post(3), post(3)])).map((one) => one.status)).toEqual([200, 200]);
    const [a, b] = await Promise.all(both);
    expect(a).toEqual(b);
    expect((await post(4)).status).toBe(200);
    await site.restart();
    expect(await site.site.offer("r1-n07", session, taskOf("t-1"), noSignal())).toEqual(a);
    expect((await post(5)).status).toBe(200);
    expect(site.site.entry("r1-n07")?.results["t-1"]?.exitCode).toBe(3);
  });

  it("whose result met a full disk is kept and told when the agent repeats it", async () => {
    const site = await newSite();
    const token = await site.token();
    const offer = site.site.offer("r1-n07", session, taskOf("t-1"), noSignal());
    expect((await site.agent("GET", "/agent/v1/next?wait=5", { token })).json).toMatchObject({ do: "task" });
    const journal = join(site.folder, "site", "journal");
    renameSync(journal, `${journal}-away`);
    const post = () => site.agent("POST", "/agent/v1/tasks/t-1/result", { token, json: result() });
    expect((await post()).status).toBe(500);
    renameSync(`${journal}-away`, journal);
    expect((await post()).status).toBe(200);
    expect(await offer).toMatchObject({ status: "succeeded" });
    await site.restart();
    expect(await site.site.offer("r1-n07", session, taskOf("t-1"), noSignal())).toMatchObject({ status: "succeeded" });
  });

  it("whose result comes while the site is down for the session is there when it is offered again", async () => {
    const site = await newSite();
    const token = await site.token();
    const offer = site.site.offer("r1-n07", session, taskOf("supplied-1"), noSignal());
    offer.catch(() => {});
    expect((await site.agent("GET", "/agent/v1/next?wait=1", { token })).json).toMatchObject({ do: "task" });
    await site.restart();
    await expect(offer).rejects.toMatchObject({ code: "unreachable" });
    const answer = await site.agent("POST", "/agent/v1/tasks/supplied-1/result", { token, json: result() });
    expect(answer.status).toBe(200);
    expect(await site.site.offer("r1-n07", session, taskOf("supplied-1"), noSignal())).toMatchObject({
      name: "supplied-1",
      status: "succeeded",
    });
  });

  it("that was cancelled is stopped by the agent, and its result says so", async () => {
    const site = await newSite();
    const token = await site.token();
    const stop = new AbortController();
    const offer = site.site.offer("r1-n07", session, taskOf("look-1"), stop.signal);
    expect((await site.agent("GET", "/agent/v1/next?wait=1", { token })).json).toMatchObject({ do: "task" });
    const progress = () =>
      site.agent("POST", "/agent/v1/tasks/look-1/progress", { token, json: { message: "half", percent: 50 } });
    expect((await progress()).json).toEqual({ cancel: false, leaseSeconds: LEASE });
    const poll = site.agent("GET", "/agent/v1/next?wait=20&running=look-1", { token });
    await later(50);
    stop.abort();
    expect((await poll).json).toMatchObject({ do: "cancel", cancel: "look-1" });
    expect((await progress()).json).toMatchObject({ cancel: true });
    await site.agent("POST", "/agent/v1/tasks/look-1/result", {
      token,
      json: result({ status: "cancelled", exitCode: null }),
    });
    expect(await offer).toMatchObject({ status: "cancelled" });
    expect(site.link.events).toContainEqual({ what: "task", task: "look-1", message: "half", percent: 50 });
  });

  it("that was cancelled before the agent took it is never given out", async () => {
    const site = await newSite();
    const token = await site.token();
    const offered = await site.site.offer("r1-n07", session, taskOf("t-1"), AbortSignal.abort());
    expect(offered).toMatchObject({ status: "cancelled", reason: expect.stringContaining("before") });
    expect((await site.agent("GET", "/agent/v1/next?wait=0", { token })).json).toMatchObject({ do: "wait" });
  });

  it("that the session does not have is 404, and what is no task's id is 400", async () => {
    const site = await newSite();
    const token = await site.token();
    expect((await site.agent("POST", "/agent/v1/tasks/nope/result", { token, json: result() })).status).toBe(404);
    expect((await site.agent("PUT", "/agent/v1/tasks/nope/log?offset=0", { token, bytes: "x" })).status).toBe(404);
    for (const id of ["..", ".hidden", "a%2Fb", "%00"]) {
      const answer = await site.agent("PUT", `/agent/v1/tasks/${id}/log?offset=0`, { token, bytes: "x" });
      expect([400, 404], id).toContain(answer.status);
    }
  });
});

describe("a log", () => {
  const put = (site: Awaited<ReturnType<typeof newSite>>, token: string, offset: number, bytes: Buffer | string) =>
    site.agent("PUT", `/agent/v1/tasks/look-1/log?offset=${offset}`, { token, bytes });

  it("is joined by offset: overlaps ignored, gaps answered with where to go on, across a restart", async () => {
    const site = await newSite();
    const token = await site.token();
    expect((await put(site, token, 0, "hello ")).json).toEqual({ cancel: false, leaseSeconds: LEASE });
    expect((await put(site, token, 0, "hello ")).status).toBe(200);
    expect((await put(site, token, 3, "lo wor")).status).toBe(200);
    const gap = await put(site, token, 12, "x");
    expect([gap.status, gap.json.offset]).toEqual([409, 9]);
    await site.restart();
    expect((await put(site, token, 9, "ld\n")).status).toBe(200);
    await site.agent("POST", "/agent/v1/tasks/look-1/result", { token, json: result() });
    const kept = await site.site.offer("r1-n07", session, taskOf("look-1"), noSignal());
    expect(Buffer.from(await site.objects.get(kept.logSha256 ?? "")).toString()).toBe("hello world\n");
    expect(site.link.events).toContainEqual({ what: "log", task: "look-1", bytes: 9 });
  });

  it("is whatever pieces come in whatever order, the same text", async () => {
    const site = await newSite();
    const token = await site.token();
    const text = Buffer.from(Array.from({ length: 997 }, (_, i) => i % 251));
    let have = 0;
    await fc.assert(
      fc.asyncProperty(fc.nat(996), fc.nat(200), async (offset, length) => {
        const answer = await put(site, token, offset, text.subarray(offset, offset + length));
        expect(answer.status).toBe(offset > have ? 409 : 200);
        if (answer.status === 409) expect(answer.json.offset).toBe(have);
        else have = Math.max(have, Math.min(text.length, offset + length));
      }),
      { numRuns: 100 },
    );
    await put(site, token, have, text.subarray(have));
    await site.agent("POST", "/agent/v1/tasks/look-1/result", { token, json: result() });
    const kept = await site.site.offer("r1-n07", session, taskOf("look-1"), noSignal());
    expect(kept.logSha256).toBe(sha256(text));
  });

  it("is kept without the token that it prints, like the finding and what is said of the progress", async () => {
    const site = await newSite();
    const token = await site.token();
    const half = Buffer.from(`before ${token} after`);
    await put(site, token, 0, half.subarray(0, 40));
    await put(site, token, 40, half.subarray(40));
    await site.agent("POST", "/agent/v1/tasks/look-1/progress", { token, json: { message: `at ${token}` } });
    const finding = { deep: [{ [token]: `Bearer ${token}` }] };
    await site.agent("POST", "/agent/v1/tasks/look-1/result", { token, json: result({ finding, reason: token }) });
    const kept = await site.site.offer("r1-n07", session, taskOf("look-1"), noSignal());
    const read = async (digest: string | null) => Buffer.from(await site.objects.get(digest ?? "")).toString();
    expect(await read(kept.logSha256)).toBe("before [redacted] after");
    expect(JSON.parse(await read(kept.findingSha256))).toEqual({ deep: [{ "[redacted]": "Bearer [redacted]" }] });
    expect(kept.reason).toBe("[redacted]");
    expect(site.link.events).toContainEqual(expect.objectContaining({ what: "task", message: "at [redacted]" }));
  });

  it("has at most 16 MiB, and says where it was cut", async () => {
    const site = await newSite();
    const token = await site.token();
    const piece = Buffer.alloc(1024 * 1024, "x");
    for (let i = 0; i < 16; i++) expect((await put(site, token, i * piece.length, piece)).status).toBe(200);
    expect((await put(site, token, 16 * piece.length, "more")).status).toBe(413);
    expect((await put(site, token, 0, Buffer.alloc(piece.length + 1))).status).toBe(413);
    await site.agent("POST", "/agent/v1/tasks/look-1/result", { token, json: result() });
    const kept = await site.site.offer("r1-n07", session, taskOf("look-1"), noSignal());
    expect(
      Buffer.from(await site.objects.get(kept.logSha256 ?? ""))
        .toString()
        .slice(-60),
    ).toMatch(/was cut here, at 16777216 bytes/);
  }, 60_000);
});

describe("a result", () => {
  const post = (site: Awaited<ReturnType<typeof newSite>>, token: string, task: string, json: unknown) =>
    site.agent("POST", `/agent/v1/tasks/${task}/result`, { token, json });

  it("has at most 1 MiB, and of a larger one nothing is kept", async () => {
    const site = await newSite();
    const token = await site.token();
    const sized = (bytes: number) => {
      const empty = JSON.stringify(result({ finding: { text: "" } })).length;
      return result({ finding: { text: "x".repeat(bytes - empty) } });
    };
    expect((await post(site, token, "look-1", sized(1024 * 1024 + 1))).status).toBe(413);
    expect(site.site.entry("r1-n07")?.results).toEqual({});
    expect((await post(site, token, "look-1", sized(1024 * 1024))).status).toBe(200);
    expect(Object.keys(site.site.entry("r1-n07")?.results ?? {})).toEqual(["look-1"]);
  });

  it("is one of at most 512 that a session leaves at its site", async () => {
    const site = await newSite();
    site.nowMs = Date.now();
    const tasks = Array.from({ length: 513 }, (_, i) => ({
      id: `t-${i}`,
      name: `t-${i}`,
      scriptSha256: sha256("true\n"),
    }));
    const token = await site.token(planOf({ tasks }));
    expect((await post(site, token, "t-0", result())).status).toBe(200);
    // As if the agent had sent them all: each is written with all before it, which takes its time.
    const { results } = site.site.entry("r1-n07") as { results: Record<string, object> };
    for (const { id } of tasks.slice(1, 511)) results[id] = { ...results["t-0"], id };
    expect((await post(site, token, "t-511", result())).status).toBe(200);
    const more = await post(site, token, "t-512", result());
    expect([more.status, more.json.detail]).toEqual([422, "A session leaves at most 512 results at its site."]);
    expect((await post(site, token, "t-0", result())).status).toBe(200);
    expect(Object.keys(site.site.entry("r1-n07")?.results ?? {})).toHaveLength(512);
  }, 120_000);
});

describe("done and finish", () => {
  it("of a passive image reach the session with the results of its tasks, once", async () => {
    const site = await newSite();
    const script = "true\n";
    await site.objects.put(Buffer.from(script));
    const token = await site.token(planOf({ mode: "passive" }));
    await site.agent("POST", "/agent/v1/tasks/look-1/result", { token, json: result() });
    const done = () =>
      site.agent("POST", "/agent/v1/done?wait=0", { token, json: { outcome: "succeeded", reason: null } });
    expect((await done()).json).toMatchObject({ do: "wait" });
    expect((await done()).status).toBe(200);
    expect(site.link.dones).toHaveLength(1);
    expect(site.link.dones[0]).toMatchObject({ request: { outcome: "succeeded" }, results: [{ id: "look-1" }] });
  });

  it("finish is heard by a waiting poll, and a reboot after it is no surprise", async () => {
    const site = await newSite();
    const token = await site.token();
    expect(await site.site.finish("r1-n07", session, "off", 50)).toBe(false);
    expect((await site.agent("GET", "/agent/v1/next?wait=0", { token })).json).toMatchObject({
      do: "finish",
      power: "off",
    });
    const poll = site.agent("GET", "/agent/v1/next?wait=20", { token });
    await later(50);
    expect(await site.site.finish("r1-n07", session, "reboot", 2_000)).toBe(true);
    expect((await poll).json).toMatchObject({ do: "finish", power: "reboot" });
    await site.get(`/boot.ipxe?platform=pcbios&uuid=${UUID}`);
    expect(site.link.reboots).toEqual([]);
  });

  it("finish has nobody to tell before a hello and for another session", async () => {
    const site = await newSite();
    await site.publish();
    const startedAt = performance.now();
    expect(await site.site.finish("r1-n07", session, "off", 30_000)).toBe(false);
    expect(await site.site.finish("r1-n07", "another", "off", 30_000)).toBe(false);
    expect(performance.now() - startedAt).toBeLessThan(15_000);
  });
});

describe("a message", () => {
  it.each(["application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8"])(
    "is JSON, though the client calls it %s",
    async (type) => {
      const site = await newSite();
      await site.publish();
      const hello = { protocol: "1", nonce: await site.nonce(), bootId: BOOT_ID, uuid: UUID, macs: [MAC] };
      const answer = await site.agent("POST", "/agent/v1/hello", {
        bytes: Buffer.from(JSON.stringify(hello)),
        headers: { "content-type": type },
      });
      expect(answer).toMatchObject({ status: 200, json: { session } });
    },
  );
});

describe("anything at all", () => {
  it("as a message is answered with less than 500, and leaves the gateway working", async () => {
    const site = await newSite();
    const token = await site.token();
    const requests = [
      "/agent/v1/hello",
      "/agent/v1/done?wait=0",
      "/agent/v1/tasks/look-1/progress",
      "/agent/v1/tasks/other/result",
    ];
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...requests),
        fc.oneof(
          fc.json(),
          fc.string(),
          fc.constant('{"__proto__":{"a":1}}'),
          fc.json().map((json) => `{"outcome":${json}}`),
        ),
        fc.constantFrom("application/json", "application/x-www-form-urlencoded"),
        fc.boolean(),
        async (path, body, type, withToken) => {
          const answer = await site.agent("POST", path, {
            bytes: Buffer.from(body),
            headers: { "content-type": type },
            ...(withToken ? { token } : {}),
          });
          expect(answer.status, `${path} ${body}`).toBeLessThan(500);
        },
      ),
      { numRuns: 150 },
    );
    expect((await site.agent("GET", "/agent/v1/next?wait=0", { token })).status).toBeLessThan(500);
  });

  it("as a token, an offset or a wait is answered with less than 500", async () => {
    const site = await newSite();
    await site.token();
    await fc.assert(
      fc.asyncProperty(fc.string(), fc.string(), async (token, number) => {
        const clean = token.replace(/[^!-~]/g, "");
        const value = encodeURIComponent(number);
        expect((await site.agent("GET", `/agent/v1/next?wait=${value}`, { token: clean })).status).toBeLessThan(500);
        expect(
          (await site.agent("PUT", `/agent/v1/tasks/a/log?offset=${value}`, { token: clean, bytes: "x" })).status,
        ).toBeLessThan(500);
      }),
      { numRuns: 100 },
    );
  });

  it("sent too fast is told to wait", async () => {
    const site = await newSite();
    const token = await site.token();
    site.nowMs = Date.now();
    // The site's clock stands still; a busy machine makes no 260 TLS connections at once.
    const atOnce = pLimit(20);
    const ask = () => atOnce(() => site.agent("GET", "/agent/v1/next?wait=0", { token }));
    const answers = await Promise.all(Array.from({ length: 260 }, ask));
    expect(answers.filter((one) => one.status === 429).length).toBeGreaterThan(30);
    site.nowMs += 1_000;
    expect((await site.agent("GET", "/agent/v1/next?wait=0", { token })).status).toBe(200);
  });

  it("of the agent is not on the plain listener", async () => {
    const site = await newSite();
    await site.publish();
    expect((await site.get("/agent/v1/next")).status).toBe(404);
    expect((await site.get("/agent/v1/hello", {}, "POST")).status).toBe(404);
  });
});
