import type { PayloadCodec } from "@temporalio/common";
import type { Logger } from "pino";
import type { EventBus } from "../src/api/events.js";
import { type RunningApi, startApi } from "../src/api/server.js";
import { operatorToken } from "../src/api/token.js";
import type { Catalogue } from "../src/catalogue/catalogue.js";
import type { Config } from "../src/config.js";
import type { ObjectStore } from "../src/stores/store.js";
import type { TemporalDoor } from "../src/temporal/door.js";

/** Role `api`: what people and programs speak to. */
export async function startApiRole(parts: {
  config: Config;
  catalogue: Catalogue;
  objects: ObjectStore;
  door: TemporalDoor;
  events: EventBus;
  /** Null: histories are not encrypted. */
  codec: PayloadCodec | null;
  log: Logger;
}): Promise<RunningApi & { token: string }> {
  const { config, catalogue, objects, door, events, codec, log } = parts;
  const token = operatorToken(config);
  const api = await startApi({
    config,
    catalogue,
    sessions: door,
    events,
    log,
    token,
    logs: objects,
    ...(codec ? { codec } : {}),
  });
  return { ...api, token };
}
