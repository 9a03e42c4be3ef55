import { join } from "node:path";
import { EventBus } from "../src/api/events.js";
import { openCatalogue } from "../src/catalogue/sql-catalogue.js";
import { type Config, dataFolder } from "../src/config.js";
import { messageOf } from "../src/domain/errors.js";
import { openFileStore } from "../src/stores/file-store.js";
import { ensureRetention, ensureSearchAttributes } from "../src/temporal/attributes.js";
import { findTemporal } from "../src/temporal/binary.js";
import { configuredAddress, connectTemporal } from "../src/temporal/connect.js";
import { type DevServer, ensureDevServer } from "../src/temporal/devserver.js";
import { TemporalDoor } from "../src/temporal/door.js";
import { temporalLink } from "../src/temporal/link.js";
import { startApiRole } from "./api.js";
import { registerBuiltins } from "./builtins.js";
import { watched } from "./effects.js";
import { createLog } from "./log.js";
import { cacheFolder, prepareBaseImage } from "./prepare.js";
import { Watch } from "./progress.js";
import { startSessions } from "./sessions.js";
import { startSiteRole } from "./site-role.js";
import { installRuntime } from "./temporal.js";

/** Days that a dev server of ours keeps closed sessions readable. */
const RETENTION_DAYS = 30;

export interface RunningServer {
  api: string;
  token: string;
  temporal: { address: string; namespace: string; uiUrl: string | null };
  site: { url: string; tlsUrl: string };
  /** Rejects when a part of the server fails for good. */
  failed: Promise<never>;
  close(): Promise<void>;
}

/** Starts the operations server with all its roles. `say` gets one line for each step that takes time. */
export async function startServer(config: Config, say: (line: string) => void): Promise<RunningServer> {
  const log = createLog(config.PITSTOP_LOG_LEVEL);
  const undo: (() => Promise<unknown>)[] = [installRuntime(log)];
  const close = async () => {
    for (const step of undo.splice(0).reverse())
      await step().catch((error: unknown) => log.warn({ error: messageOf(error) }, "a part did not close"));
  };
  try {
    // The catalogue first: its lock refuses a second server on the same folder before anything else is touched.
    dataFolder(config);
    const catalogue = watched(
      "catalogue",
      await openCatalogue({ data: config.PITSTOP_DATA, databaseUrl: config.DATABASE_URL }),
    );
    undo.push(() => catalogue.close());
    const base = await prepareBaseImage(say, config.PITSTOP_BASE_IMAGE).catch((error: unknown) => {
      say(`without the built-in image: ${messageOf(error)}`);
      return null;
    });
    await registerBuiltins(catalogue, config.PITSTOP_DATA, base);

    const own = configuredAddress()
      ? null
      : await ownTemporal(config, say, (message, facts) => log.warn(facts, message));
    if (own) undo.push(() => own.stop());
    const where = configuredAddress() ?? own;
    if (!where) throw new Error("no Temporal server");
    const temporal = await connectTemporal(where);
    undo.push(() => temporal.close());
    await ensureSearchAttributes(temporal.connection, temporal.namespace);
    if (own) await ensureRetention(temporal.connection, temporal.namespace, RETENTION_DAYS);

    const objects = watched("objects", openFileStore(dataFolder(config, "objects")));
    const events = new EventBus();
    const watch = new Watch(events);
    const door = new TemporalDoor(temporal.client, (script) => objects.put(Buffer.from(script, "utf8")));
    const link = watched(
      "link",
      temporalLink(temporal.client, (entry, event) => {
        if (event.what === "hello") watch.hello(entry.session, entry.target);
        events.publish({
          type: "session.progress",
          session: entry.session,
          target: entry.target,
          what: event.what,
          task: "task" in event ? event.task : null,
          message: "message" in event ? event.message : "bytes" in event ? `${event.bytes} bytes of log` : "",
          percent: "percent" in event ? event.percent : null,
        });
      }),
    );
    const site = await startSiteRole({
      config,
      temporal,
      objects,
      link,
      onStart: (name, input) => watch.begins(name, input),
      log,
    });
    undo.push(() => site.close());
    const sessions = await startSessions({
      temporal,
      catalogue,
      objects,
      door,
      watch: (record) => watch.recorded(record),
      log,
    });
    undo.push(() => sessions.stop());
    const api = await startApiRole({ config, catalogue, objects, door, events, log });
    undo.push(() => api.close());
    return {
      api: api.url,
      token: api.token,
      temporal: { address: where.address, namespace: where.namespace, uiUrl: own?.uiUrl ?? null },
      site: { url: site.url, tlsUrl: site.tlsUrl },
      failed: Promise.race([site.failed, sessions.failed]),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function ownTemporal(
  config: Config,
  say: (line: string) => void,
  log: (message: string, facts: object) => void,
): Promise<DevServer> {
  const program = () => findTemporal(cacheFolder(), say);
  return await ensureDevServer({ program, dir: join(dataFolder(config), "temporal"), log });
}

/** `pitstop serve`: until a signal ends it. Sessions that are away go on when it is started again. */
export async function serve(config: Config): Promise<number> {
  const server = await startServer(config, (line) => console.log(line));
  console.log(addresses(server).join("\n"));
  const signal = new Promise<void>((resolve) => {
    process.once("SIGINT", () => resolve());
    process.once("SIGTERM", () => resolve());
  });
  try {
    await Promise.race([signal, server.failed]);
    return 0;
  } finally {
    await server.close();
  }
}

export const addresses = (server: RunningServer): string[] => [
  `API            ${server.api}/api/v1   (OpenAPI: ${server.api}/openapi.json)`,
  `Temporal       ${server.temporal.address}, namespace ${server.temporal.namespace}`,
  ...(server.temporal.uiUrl ? [`Temporal UI    ${server.temporal.uiUrl}`] : []),
  `Boot server    ${server.site.url}   (agents: ${server.site.tlsUrl})`,
];
