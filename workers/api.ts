import type { PayloadCodec } from "@temporalio/common";
import type { Logger } from "pino";
import type { EventBus } from "../src/api/events.js";
import { type RunningApi, startApi } from "../src/api/server.js";
import { operatorToken } from "../src/api/token.js";
import type { Catalogue } from "../src/catalogue/catalogue.js";
import type { Config } from "../src/config.js";
import type { ObjectStore } from "../src/stores/store.js";
import type { TemporalSessionService } from "../src/temporal/session-service.js";

/** Role `api`: what people and programs speak to. */
export async function startApiRole(deps: {
  config: Config;
  catalogue: Catalogue;
  objects: ObjectStore;
  sessions: TemporalSessionService;
  events: EventBus;
  /** Null: histories are not encrypted. */
  codec: PayloadCodec | null;
  log: Logger;
}): Promise<RunningApi & { token: string }> {
  const { config, catalogue, objects, sessions, events, codec, log } = deps;
  const token = operatorToken(config);
  const api = await startApi({
    config,
    catalogue,
    sessions,
    events,
    log,
    token,
    logs: objects,
    ...(codec ? { codec } : {}),
  });
  return { ...api, token };
}
