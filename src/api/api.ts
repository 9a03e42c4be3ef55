import type { PayloadCodec } from "@temporalio/common";
import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import type { Catalogue } from "../catalogue/catalogue.js";
import type { EventBus } from "./events.js";
import { Problem } from "./messages.js";
import type { Metrics } from "./metrics.js";
import type { LogReader, SessionService } from "./session-service.js";
import type { SessionView } from "./session-view.js";

/** Fastify, with its types taken from the zod schemas of each route. */
export type Api = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  ZodTypeProvider
>;

/** What the routes work with. */
export interface ApiDeps {
  catalogue: Catalogue;
  sessions: SessionService;
  events: EventBus;
  view: SessionView;
  /** Null: this server keeps no logs. */
  logs: LogReader | null;
  /** Null: this server reads no encrypted histories for anybody. */
  codec: PayloadCodec | null;
  metrics: Metrics;
  log: FastifyBaseLogger;
}

declare module "fastify" {
  interface FastifyContextConfig {
    /** The route answers without a token. Every other one wants it. */
    public?: boolean;
  }
}

/** Every route may answer with a problem. */
export const problems = {
  "4xx": {
    description: "What is wrong and what to do about it",
    content: { "application/problem+json": { schema: Problem } },
  },
  "5xx": {
    description: "What is wrong and what to do about it",
    content: { "application/problem+json": { schema: Problem } },
  },
} as const;
