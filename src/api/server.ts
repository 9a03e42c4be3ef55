import swagger from "@fastify/swagger";
import type { PayloadCodec } from "@temporalio/common";
import { type FastifyBaseLogger, fastify, LogController } from "fastify";
import {
  createJsonSchemaTransform,
  createJsonSchemaTransformObject,
  type ZodTypeProvider,
} from "fastify-type-provider-zod";
import { z } from "zod";
import type { Catalogue } from "../catalogue/catalogue.js";
import { check, sentenceOf } from "../catalogue/explain.js";
import { listenError, PitstopError } from "../domain/errors.js";
import type { Api, ApiDeps } from "./api.js";
import { type EventBus, PitstopEvent } from "./events.js";
import * as messages from "./messages.js";
import { makeMetrics } from "./metrics.js";
import { sendProblem } from "./problem.js";
import { campaignRoutes } from "./routes/campaigns.js";
import { codecRoutes } from "./routes/codec.js";
import { documentRoutes } from "./routes/documents.js";
import { eventRoutes } from "./routes/events.js";
import { healthRoutes } from "./routes/health.js";
import { sessionRoutes } from "./routes/sessions.js";
import type { LogReader, SessionService } from "./session-service.js";
import { SessionView } from "./session-view.js";
import { carriesToken } from "./token.js";
import { refuseUnreadable } from "./unreadable.js";

/** Of the contract, not of the program: it changes when a route does. */
const API_VERSION = "1.0.0";
const BODY_LIMIT_BYTES = 2 * 1024 * 1024;

export interface ApiOptions {
  config: { PITSTOP_LISTEN: { host: string; port: number } };
  catalogue: Catalogue;
  sessions: SessionService;
  events: EventBus;
  log: FastifyBaseLogger;
  /** See `operatorToken`. */
  token: string;
  logs?: LogReader;
  /** Opens encrypted payloads for people who may read sessions. */
  codec?: PayloadCodec;
}

export interface RunningApi {
  /** How this machine reaches it. */
  url: string;
  close(): Promise<void>;
}

/** Starts the operators' listener: REST under /api/v1, /openapi.json, health and metrics. */
export async function startApi(options: ApiOptions): Promise<RunningApi> {
  const { app, close } = await buildApi(options);
  const { host, port } = options.config.PITSTOP_LISTEN;
  try {
    await app.listen({ host, port });
  } catch (error) {
    await close();
    throw listenError(error, { host, port }, "PITSTOP_LISTEN");
  }
  const address = app.server.address();
  const bound = address !== null && typeof address === "object" ? address.port : port;
  const reach = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  return { url: `http://${reach.includes(":") ? `[${reach}]` : reach}:${bound}`, close };
}

/** The API without a listener, for `inject`. */
export async function buildApi(options: ApiOptions): Promise<{ app: Api; close: () => Promise<void> }> {
  const app = fastify({
    loggerInstance: options.log,
    // `measure` writes one line a request, with the route rather than the path.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: BODY_LIMIT_BYTES,
    forceCloseConnections: true,
    // A request is bounded; an event stream is hijacked and bounded by its own rules.
    requestTimeout: 30_000,
    routerOptions: { maxParamLength: 512 },
    // A path that cannot be read is refused before there is a route, and in the same form.
    frameworkErrors: (error, _request, reply) => void sendProblem(reply, error, options.log),
    clientErrorHandler: refuseUnreadable,
  }).withTypeProvider<ZodTypeProvider>();
  // An expectation that nobody knows may be passed over (RFC 9110, section 10.1.1); Node.js would refuse it without a word.
  app.server.on("checkExpectation", (request, response) => app.server.emit("request", request, response));
  const metrics = makeMetrics(options.catalogue, options.events);
  const deps: ApiDeps = {
    catalogue: options.catalogue,
    sessions: options.sessions,
    events: options.events,
    view: new SessionView(options.catalogue, options.sessions),
    logs: options.logs ?? null,
    codec: options.codec ?? null,
    metrics,
    log: options.log,
  };

  speakZod(app);
  guard(app, options.token);
  measure(app, deps);
  app.addContentTypeParser(
    ["application/yaml", "application/x-yaml", "text/yaml"],
    { parseAs: "string" },
    (_request, body, done) => {
      done(null, body);
    },
  );
  app.setErrorHandler((error, _request, reply) => sendProblem(reply, error, options.log));
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split("?")[0];
    const error = new PitstopError(
      "notFound",
      `There is no ${request.method} ${path}; /openapi.json lists what there is.`,
    );
    return sendProblem(reply, error, options.log);
  });

  await describe(app);
  healthRoutes(app, deps);
  await app.register(
    async (scope) => {
      const api = scope.withTypeProvider<ZodTypeProvider>();
      documentRoutes(api, deps);
      sessionRoutes(api, deps);
      campaignRoutes(api, deps);
      eventRoutes(api, deps);
      codecRoutes(api, deps);
    },
    { prefix: "/api/v1" },
  );
  await app.ready();
  const close = async () => {
    metrics.close();
    await app.close();
  };
  return { app, close };
}

/** Requests are checked by the routes' schemas, in our sentences; answers are ours and are typed by the same schemas. */
function speakZod(app: Api): void {
  app.setValidatorCompiler<z.ZodType>(({ schema }) => (data) => {
    const checked = check(schema, data);
    if (checked.ok) return { value: checked.value };
    return { error: new PitstopError("invalid", sentenceOf(checked.complaints)) };
  });
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
}

/**
 * The token, on every route that does not say `public`. Only the Authorization header counts and no CORS header is ever
 * sent, so a page in an operator's browser, whatever name it gave this address, cannot speak here.
 */
function guard(app: Api, token: string): void {
  app.addHook("onRequest", async (request) => {
    if (request.routeOptions.config.public === true || carriesToken(request.headers.authorization, token)) return;
    throw new PitstopError(
      "unauthorized",
      "This needs the operators' token: send it as a bearer token (PITSTOP_TOKEN, or the file token in the server's PITSTOP_DATA).",
    );
  });
}

function measure(app: Api, { metrics, log }: ApiDeps): void {
  app.addHook("onResponse", async (request, reply) => {
    const route = request.routeOptions.url ?? "unknown";
    metrics.request(request.method, route, reply.statusCode, reply.elapsedTime / 1000);
    log.debug(
      { method: request.method, route, status: reply.statusCode, ms: Math.round(reply.elapsedTime) },
      "request",
    );
  });
}

/** /openapi.json, made from the same schemas that check the requests. */
async function describe(app: Api): Promise<void> {
  const schemaRegistry = z.registry<{ id?: string }>();
  const named = {
    Problem: messages.Problem,
    Target: messages.Target,
    Image: messages.Image,
    Action: messages.Action,
    Applied: messages.Applied,
    SessionRecord: messages.SessionRecord,
    SessionSummary: messages.SessionSummary,
    Event: PitstopEvent,
  };
  for (const [id, schema] of Object.entries(named)) schemaRegistry.add(schema, { id });
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "Pitstop",
        version: API_VERSION,
        description:
          "Durable maintenance boots for bare-metal fleets. Errors are problem+json (RFC 9457); POST takes an Idempotency-Key.",
      },
      components: { securitySchemes: { token: { type: "http", scheme: "bearer" } } },
      security: [{ token: [] }],
    },
    transform: createJsonSchemaTransform({ schemaRegistry }),
    transformObject: createJsonSchemaTransformObject({ schemaRegistry }),
  });
  app.get("/openapi.json", { config: { public: true }, schema: { hide: true } }, async (_request, reply) =>
    reply.send(app.swagger()),
  );
}
