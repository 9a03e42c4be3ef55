import type { AddressInfo, Server, Socket } from "node:net";
import fastify, { type FastifyInstance } from "fastify";
import type { Logger } from "pino";
import { type ErrorCode, listenError, messageOf, PitstopError } from "../domain/errors.js";

/** Connections at once on one listener: a thousand targets that boot together, and their agents. More are dropped, and come again. */
const MAX_CONNECTIONS = 4096;
/** A quarter of them for one address: one machine does not take the listener from the others. */
const MAX_CONNECTIONS_PER_ADDRESS = MAX_CONNECTIONS / 4;
/** A TLS handshake is a few packets, whatever the firmware. */
const HANDSHAKE_TIMEOUT_MS = 15_000;
/** A request line and headers have to be here within this. */
const HEADERS_TIMEOUT_MS = 15_000;
/** A whole request, a log's piece of 1 MiB included. */
const REQUEST_TIMEOUT_MS = 60_000;
/** A connection on which nothing moves: longer than the longest poll (30 s), short enough that stalled downloads are let go. */
const IDLE_TIMEOUT_MS = 120_000;
const KEEP_ALIVE_MS = 75_000;
const MAX_HEADER_BYTES = 16 * 1024;
const MAX_BODY_BYTES = 64 * 1024;

const STATUS: Record<ErrorCode, number> = {
  invalid: 400,
  unauthorized: 401,
  notFound: 404,
  busy: 409,
  conflict: 409,
  refused: 422,
  unreachable: 503,
  internal: 500,
};

export interface ListenerOptions {
  listen: { host: string; port: number };
  /** PEM; absent on the plain listener. */
  tls?: { key: string; certificate: string };
  log: Logger;
  routes: (app: FastifyInstance) => void;
  /** Tests bring their own. */
  bounds?: { connections?: number; perAddress?: number; headersMs?: number; handshakeMs?: number; checkMs?: number };
}

export interface Listener {
  port: number;
  /** A renewed certificate, for connections that come from now on. */
  renew: (tls: { key: string; certificate: string }) => void;
  close: () => Promise<void>;
}

/** A server for machines that nobody can trust: every time, size and number is bounded, and what is not listed is 404. */
export async function startListener(options: ListenerOptions): Promise<Listener> {
  const common = {
    logger: false as const,
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: IDLE_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    forceCloseConnections: true,
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: 256 },
  };
  const bounds = {
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: options.bounds?.headersMs ?? HEADERS_TIMEOUT_MS,
    connectionsCheckingInterval: options.bounds?.checkMs ?? 5_000,
  };
  const handshakeTimeout = options.bounds?.handshakeMs ?? HANDSHAKE_TIMEOUT_MS;
  const app = options.tls
    ? (fastify({
        ...common,
        https: {
          ...bounds,
          handshakeTimeout,
          key: options.tls.key,
          cert: options.tls.certificate,
          minVersion: "TLSv1.2",
        },
      }) as unknown as FastifyInstance)
    : (fastify({ ...common, http: bounds }) as unknown as FastifyInstance);
  app.server.maxConnections = options.bounds?.connections ?? MAX_CONNECTIONS;
  shareByAddress(app.server, options.bounds?.perAddress ?? MAX_CONNECTIONS_PER_ADDRESS);
  answerErrors(app, options.log);
  options.routes(app);
  const setting = options.tls ? "PITSTOP_SITE_TLS_LISTEN" : "PITSTOP_SITE_LISTEN";
  try {
    await app.listen({ ...options.listen, backlog: 1024 });
  } catch (error) {
    await app.close();
    throw listenError(error, options.listen, setting);
  }
  return {
    port: (app.server.address() as AddressInfo).port,
    renew: (tls) => {
      const server: { setSecureContext?: (context: object) => void } = app.server as object;
      server.setSecureContext?.({ key: tls.key, cert: tls.certificate, minVersion: "TLSv1.2" });
    },
    close: () => app.close(),
  };
}

/** Drops the connections of an address that has its share already. */
function shareByAddress(server: Server, most: number): void {
  const open = new Map<string, number>();
  server.on("connection", (socket: Socket) => {
    const address = socket.remoteAddress ?? "";
    const count = (open.get(address) ?? 0) + 1;
    if (count > most) {
      socket.destroy();
      return;
    }
    open.set(address, count);
    socket.once("close", () => {
      const left = (open.get(address) ?? 1) - 1;
      if (left > 0) open.set(address, left);
      else open.delete(address);
    });
  });
}

/** Errors as problem+json (RFC 9457): one sentence for people, the code for programs. The unknown is logged, not told. */
function answerErrors(app: FastifyInstance, log: Logger): void {
  app.setNotFoundHandler((_request, reply) => reply.code(404).type("text/plain").send("Nothing is served here.\n"));
  app.setErrorHandler((error: unknown, request, reply) => {
    const status = statusOf(error);
    const known = error instanceof PitstopError || status < 500;
    if (!known) log.error({ err: error, route: request.routeOptions.url }, "a target's request failed");
    else if (error instanceof PitstopError)
      log.debug({ route: request.routeOptions.url, code: error.code }, "a target's request was refused");
    const facts = error instanceof PitstopError ? error.facts : {};
    return reply
      .code(status)
      .type("application/problem+json")
      .send({
        ...facts,
        type: "about:blank",
        status,
        detail: known ? messageOf(error) : "The site failed; its log says why.",
      });
  });
}

function statusOf(error: unknown): number {
  if (error instanceof PitstopError)
    return typeof error.facts.status === "number" ? error.facts.status : STATUS[error.code];
  const status = (error as { statusCode?: unknown }).statusCode;
  return typeof status === "number" && status >= 400 && status < 600 ? status : 500;
}
