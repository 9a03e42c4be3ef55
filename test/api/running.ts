import { createHash } from "node:crypto";
import { pino } from "pino";
import { EventBus } from "../../src/api/events.js";
import { type RunningApi, startApi } from "../../src/api/server.js";
import type { Catalogue } from "../../src/catalogue/catalogue.js";
import { PitstopError } from "../../src/domain/errors.js";
import { openTestCatalogue } from "../support/database.js";
import { FakeSessionService } from "./fake-session-service.js";

export const TOKEN = "a-token-for-the-tests";

/** The API as it runs, with a real catalogue and sessions that are played. */
export interface Rig {
  api: RunningApi;
  catalogue: Catalogue;
  sessions: FakeSessionService;
  events: EventBus;
  /** Keeps a log and returns its digest. */
  keepLog(text: string): string;
  stop(): Promise<void>;
}

export async function startRig(port = 0): Promise<Rig> {
  const catalogue = await openTestCatalogue();
  const sessions = new FakeSessionService();
  const events = new EventBus();
  const kept = new Map<string, Uint8Array>();
  const logs = {
    async get(sha256: string) {
      const bytes = kept.get(sha256);
      if (!bytes) throw new PitstopError("notFound", `The store does not have ${sha256}.`);
      return bytes;
    },
  };
  const config = { PITSTOP_LISTEN: { host: "127.0.0.1", port } };
  const log = pino({ level: "silent" });
  const api = await startApi({ config, catalogue, sessions, events, log, token: TOKEN, logs });
  return {
    api,
    catalogue,
    sessions,
    events,
    keepLog(text) {
      const bytes = Buffer.from(text);
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      kept.set(sha256, bytes);
      return sha256;
    },
    async stop() {
      await api.close();
      await catalogue.close();
    },
  };
}
