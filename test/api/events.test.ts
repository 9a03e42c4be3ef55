import { request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { PitstopClient, ServerUnreachable } from "../../src/api/client.js";
import { EventBus, type NewEvent, type PitstopEvent } from "../../src/api/events.js";
import { readSse } from "../../src/api/sse.js";
import { type Rig, startRig, TOKEN } from "./running.js";

const phase = (session: string, name: "working" | "restoring" = "working", target = "t1"): NewEvent => ({
  type: "session.phase",
  session,
  target,
  phase: name,
  phases: [{ name, startedAt: "2026-01-01T00:00:00.000Z", endedAt: null }],
  outcome: null,
  failure: null,
  stranded: null,
});

describe("the event bus", () => {
  it("gives what came since an event, and null when that is forgotten or another process's", () => {
    const bus = new EventBus();
    const [a, b, c] = ["a", "b", "c"].map((session) => bus.publish(phase(session)));
    expect(bus.since(a?.id ?? "")).toEqual([b, c]);
    expect(bus.since(c?.id ?? "")).toEqual([]);
    expect(bus.since("deadbeef-1")).toBeNull();
    expect(bus.since("nonsense")).toBeNull();
    for (let i = 0; i < 5000; i++) bus.publish(phase("many"));
    expect(bus.since(a?.id ?? "")).toBeNull();
    const last = bus.publish(phase("last"));
    expect(bus.since(last.id)).toEqual([]);
  });

  it("goes on when a listener fails", () => {
    const bus = new EventBus();
    const heard: string[] = [];
    bus.subscribe(() => {
      throw new Error("broken watcher");
    });
    bus.subscribe((event) => heard.push(event.type));
    bus.publish(phase("a"));
    bus.publish(phase("a"));
    expect(heard).toEqual(["session.phase", "session.phase"]);
  });
});

describe("an event stream", () => {
  let rig: Rig;
  let client: PitstopClient;
  beforeEach(async () => {
    rig = await startRig();
    client = new PitstopClient({ url: rig.api.url, token: TOKEN });
  });
  afterEach(() => rig.stop());

  /** Collects until `count` events have come; `opened` resolves when the stream is there. */
  function watch(filter: { session?: string; target?: string }, count: number, lastEventId?: string) {
    const stop = new AbortController();
    const heard: (PitstopEvent | null)[] = [];
    let open: () => void = () => {};
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    const done = (async () => {
      for await (const event of client.events(filter, stop.signal, lastEventId)) {
        if (heard.push(event) === 1) open();
        if (heard.filter((e) => e !== null).length >= count) break;
      }
      return heard;
    })();
    return { opened, done, stop };
  }

  it("carries what the filter lets through, and nothing after it is left", async () => {
    const watcher = watch({ session: "mine" }, 2);
    await watcher.opened;
    rig.events.publish(phase("other"));
    rig.events.publish(phase("mine"));
    rig.events.publish({ type: "catalogue.changed", kind: "Target", name: "x", change: "created" });
    rig.events.publish(phase("mine", "restoring"));
    const heard = await watcher.done;
    expect(heard[0]).toBeNull();
    expect(heard.slice(1).map((e) => (e?.type === "session.phase" ? e.phase : e))).toEqual(["working", "restoring"]);
    await expect.poll(() => metric(rig, "pitstop_event_watchers")).toBe(0);
  });

  it("goes on where it broke off, and says when it cannot", async () => {
    const first = rig.events.publish(phase("a"));
    rig.events.publish(phase("b"));
    const again = await watch({}, 1, first.id).done;
    expect(again.map((e) => (e === null ? null : "session" in e && e.session))).toEqual([null, "b"]);
    const lost = watch({}, 1, "0badc0de-7");
    await lost.opened;
    await sleep(50);
    rig.events.publish(phase("c"));
    expect((await lost.done).map((e) => (e === null ? null : "session" in e && e.session))).toEqual([null, null, "c"]);
  });

  it("ends with the server, and tells its watcher so", async () => {
    const watcher = watch({}, 1);
    await watcher.opened;
    const failed = expect(watcher.done).rejects.toBeInstanceOf(ServerUnreachable);
    await rig.api.close();
    await failed;
  });

  it("ends quietly when its watcher stops", async () => {
    const watcher = watch({}, 1);
    await watcher.opened;
    watcher.stop.abort();
    expect(await watcher.done).toEqual([null]);
  });

  it("is only its head where no more is asked for, and nobody watches then", async () => {
    const headers = { authorization: `Bearer ${TOKEN}` };
    const signal = AbortSignal.timeout(5_000);
    const answer = await fetch(`${rig.api.url}/api/v1/events`, { method: "HEAD", headers, signal });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toContain("text/event-stream");
    expect(await answer.text()).toBe("");
    expect(await metric(rig, "pitstop_event_watchers")).toBe(0);
  });

  it("is for 256 watchers; one more is refused until one of them goes", async () => {
    // Kept: a response that nobody holds is closed when it is collected.
    const streams: { response: Response; stop: AbortController }[] = [];
    const open = async () => {
      const stop = new AbortController();
      const headers = { authorization: `Bearer ${TOKEN}` };
      const response = await fetch(`${rig.api.url}/api/v1/events`, { headers, signal: stop.signal });
      if (response.ok) streams.push({ response, stop });
      return response.status;
    };
    expect(new Set(await Promise.all(Array.from({ length: 256 }, open)))).toEqual(new Set([200]));
    expect(await open()).toBe(503);
    streams.pop()?.stop.abort();
    await expect.poll(() => metric(rig, "pitstop_event_watchers")).toBe(255);
    expect(await open()).toBe(200);
    for (const { stop } of streams) stop.abort();
  });

  it("cuts off a watcher that does not read", async () => {
    const stuck = await new Promise<import("node:http").IncomingMessage>((resolve, reject) => {
      const headers = { authorization: `Bearer ${TOKEN}` };
      request(`${rig.api.url}/api/v1/events`, { headers }, resolve).on("error", reject).end();
    });
    stuck.on("error", () => {});
    stuck.pause();
    const message = "x".repeat(60_000);
    for (let i = 0; i < 400 && (await metric(rig, "pitstop_event_watchers")) === 1; i++) {
      for (let n = 0; n < 10; n++) {
        rig.events.publish({
          type: "session.progress",
          session: "s",
          target: "t",
          what: "log",
          task: null,
          message,
          percent: null,
        });
      }
    }
    expect(await metric(rig, "pitstop_event_watchers")).toBe(0);
    stuck.destroy();
  });
});

async function metric(rig: Rig, name: string): Promise<number> {
  const text = await (await fetch(`${rig.api.url}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1]);
}

describe("reading a stream", () => {
  it("joins what comes in pieces, and skips comments and what is not JSON", async () => {
    const text = ': hi\n\nid: 1\nevent: a\ndata: {"n":\ndata: "é"}\n\ndata: nonsense\n\ndata: 3\n\ndata: 4';
    const bytes = new TextEncoder().encode(text);
    async function* pieces() {
      for (let i = 0; i < bytes.length; i += 3) yield bytes.slice(i, i + 3);
    }
    const read: unknown[] = [];
    for await (const message of readSse(pieces(), () => {})) read.push(message);
    expect(read).toEqual([
      { event: "a", json: { n: "é" } },
      { event: "message", json: 3 },
    ]);
  });
});
