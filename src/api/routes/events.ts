import type { ServerResponse } from "node:http";
import { z } from "zod";
import { PitstopError } from "../../domain/errors.js";
import { type Api, type ApiDeps, problems } from "../api.js";
import { PitstopEvent } from "../events.js";

const MAX_WATCHERS = 256;
const HEARTBEAT_MS = 15_000;
/** A watcher that lets so much pile up is cut off; it comes back with Last-Event-ID and misses nothing that is kept. */
const MAX_PENDING_BYTES = 1024 * 1024;
const HEAD = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-store",
  "x-accel-buffering": "no",
};

/**
 * Events as they happen (server-sent events, WHATWG HTML section 9.2). With `Last-Event-ID` what came since is sent
 * first; an `event: gap` says that some of it is not remembered any more, so that the watcher reads the records again.
 */
export function eventRoutes(api: Api, deps: ApiDeps): void {
  const open = new Set<ServerResponse>();

  api.get(
    "/events",
    {
      schema: {
        tags: ["events"],
        summary: "Watch sessions and the catalogue",
        querystring: z.object({ session: z.string().max(256).optional(), target: z.string().max(63).optional() }),
        response: {
          200: { description: "A stream of events", content: { "text/event-stream": { schema: PitstopEvent } } },
          ...problems,
        },
      },
    },
    async (request, reply) => {
      // Of a stream there is only the head (RFC 9110, section 9.3.2); Node.js would send none before a body that never ends.
      if (request.method === "HEAD") {
        reply.hijack();
        reply.raw.writeHead(200, HEAD).end();
        return;
      }
      if (open.size >= MAX_WATCHERS) {
        throw new PitstopError(
          "unreachable",
          `${MAX_WATCHERS} watchers have a stream open already; close one, or try again later.`,
        );
      }
      const { session, target } = request.query;
      const wanted = (event: PitstopEvent) =>
        (session === undefined || ("session" in event && event.session === session)) &&
        (target === undefined || ("target" in event && event.target === target));
      reply.hijack();
      stream(reply.raw, deps, wanted, request.headers["last-event-id"], open);
    },
  );

  // Streams never end by themselves: they are ended so that the server can.
  api.addHook("preClose", async () => {
    for (const response of open) response.end();
  });
}

function stream(
  response: ServerResponse,
  deps: ApiDeps,
  wanted: (event: PitstopEvent) => boolean,
  lastId: string | string[] | undefined,
  open: Set<ServerResponse>,
): void {
  const send = (text: string) => {
    response.write(text);
    if (response.writableLength > MAX_PENDING_BYTES) response.destroy();
  };
  const tell = (event: PitstopEvent) => {
    if (wanted(event)) send(`id: ${event.id}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
  };
  open.add(response);
  deps.metrics.watchers.set(open.size);
  response.writeHead(200, HEAD);
  send(": welcome\n\n");
  if (typeof lastId === "string") {
    const missed = deps.events.since(lastId);
    if (missed === null) send("event: gap\ndata: {}\n\n");
    for (const event of missed ?? []) tell(event);
  }
  const unsubscribe = deps.events.subscribe(tell);
  const heartbeat = setInterval(() => send(": still here\n\n"), HEARTBEAT_MS);
  response.once("close", () => {
    clearInterval(heartbeat);
    unsubscribe();
    open.delete(response);
    deps.metrics.watchers.set(open.size);
  });
}
