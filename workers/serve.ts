import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import { EventBus } from "../src/api/events.js";
import { cacheFolder } from "../src/cache-folder.js";
import type { Catalogue } from "../src/catalogue/catalogue.js";
import { postmasterOf } from "../src/catalogue/embedded/cluster.js";
import { openCatalogue } from "../src/catalogue/sql-catalogue.js";
import { type Config, dataFolder, ROLES, type Role } from "../src/config.js";
import { secureDataFolder } from "../src/data-folder.js";
import { messageOf } from "../src/domain/errors.js";
import type { SessionRecord } from "../src/domain/record.js";
import { takeLock } from "../src/process-lock.js";
import { lockSite } from "../src/site/lock.js";
import { openFileStore } from "../src/stores/file-store.js";
import { ensureRetention, ensureSearchAttributes } from "../src/temporal/attributes.js";
import { findTemporal } from "../src/temporal/binary.js";
import { configuredAddress, connectTemporal } from "../src/temporal/connect.js";
import { type DevServer, ensureDevServer } from "../src/temporal/devserver.js";
import { temporalLink } from "../src/temporal/link.js";
import type { Say } from "../src/temporal/say.js";
import { TemporalSessionService } from "../src/temporal/session-service.js";
import { registerBuiltins } from "./builtins.js";
import { makeCurrent, versionOf } from "./deployment.js";
import { watched } from "./effects.js";
import { createLog } from "./log.js";
import { payloadKeys, refuseChangedKeys } from "./payload-keys.js";
import { prepareBaseImage } from "./prepare.js";
import { Watch } from "./progress.js";
import { checkOpenSessions } from "./replay-check.js";
import { refuseUnfitRoles } from "./roles.js";
import { listenForStop, MOST_NAMES, type Part, part, type Stop, sayAway, type Tell } from "./stopping.js";
import { installRuntime } from "./temporal.js";
import { terminalSay } from "./terminal.js";

/** Days that a dev server of ours keeps closed sessions readable. */
const RETENTION_DAYS = 30;
/** How long a stop waits for the names of the targets that are away. */
const OPEN_MS = 3_000;
/** How long a stop waits for the phase of one session. A running worker answers at once. */
const PHASE_MS = 1_500;

/** A process with the roles that it was given; what belongs to another role is null. */
export interface RunningRoles {
  api: { url: string; token: string } | null;
  temporal: { address: string; namespace: string; uiUrl: string | null };
  site: { url: string; tlsUrl: string } | null;
  /** Rejects when a part of the process fails for good. */
  failed: Promise<never>;
  /** Sessions that are open now, as far as this process knows of them. */
  openSessions(): Promise<OpenSession[]>;
  /** What goes on running if this process ends without `close`. */
  left(): string[];
  /** Stops its parts in order; `tell` gets the name of each as it begins to stop. */
  close(tell?: Tell): Promise<void>;
}

/** A site alone does not know the phases. */
type OpenSession = Pick<SessionRecord, "target" | "untouched"> & { phase: string | null };

/** The operations server whole. */
export interface RunningServer extends Omit<RunningRoles, "api" | "site"> {
  api: string;
  token: string;
  site: { url: string; tlsUrl: string };
}

/** Starts the operations server with all its roles, whatever the settings say. */
export async function startServer(config: Config, say: Say, stop?: Stop): Promise<RunningServer> {
  const { api, site, ...rest } = await startRoles({ ...config, PITSTOP_ROLES: [...ROLES] }, say, stop);
  if (!api || !site) throw new TypeError("a server with all roles has each of them");
  return { ...rest, site, api: api.url, token: api.token };
}

/**
 * Starts the roles that the settings name, in one process, and loads the code of those only. `say` gets one line for each
 * step that takes time. A `stop` that is asked for meanwhile ends the start, which then stops what it has started and throws.
 */
export async function startRoles(config: Config, say: Say, stop?: Stop): Promise<RunningRoles> {
  const log = createLog(config.PITSTOP_LOG_LEVEL);
  const has = (role: Role) => config.PITSTOP_ROLES.includes(role);
  const undo: Undo = [installRuntime(log)];
  const close = async (tell: Tell = () => undefined) => {
    for (let step = undo.pop(); step; step = undo.pop()) {
      if (step.part) tell(step.part);
      closing = step;
      await step(tell).catch((error: unknown) => log.warn({ error: messageOf(error) }, "a part did not close"));
    }
    closing = null;
  };
  let closing: Part | null = null;
  const left = () => [...undo, ...(closing ? [closing] : [])].flatMap((step) => step.leaves?.() ?? []);
  const goOn = () => stop?.signal.throwIfAborted();
  try {
    await ownDataFolder(config, log);
    refuseUnfitRoles(config, configuredAddress() !== null);
    // The locks first: they refuse a second server on the same folder before anything else is touched.
    const hold = (unlock: () => void) => undo.push(async () => unlock());
    if (has("site")) hold(lockSite(dataFolder(config, "site")));
    // Each of two processes would stop the dev server that both use.
    if (has("sessions") && !configuredAddress()) {
      const file = join(dataFolder(config, "temporal"), "lock");
      hold(takeLock(file, "The Temporal server of this folder", "another PITSTOP_DATA"));
    }
    const catalogue = has("api") || has("sessions") ? await readyCatalogue(config, say, log, undo, stop) : null;
    goOn();
    const { temporal, where, uiUrl } = await readyTemporal(config, say, log, undo, stop);
    goOn();

    const objects = watched("objects", openFileStore(dataFolder(config, "objects")));
    const events = new EventBus();
    const watch = new Watch(events);
    const sessions = new TemporalSessionService(temporal.client, (script) => objects.put(Buffer.from(script, "utf8")));
    const failed: Promise<never>[] = [];
    let site: RunningRoles["site"] = null;
    let sited = (): OpenSession[] => [];
    let api: RunningRoles["api"] = null;
    const version = versionOf(config);
    if (has("sessions")) {
      const warn = (message: string, facts: object) => log.warn(facts, message);
      await checkOpenSessions({ config, temporal, version, warn });
    }
    if (has("site")) {
      const link = watched(
        "link",
        temporalLink(temporal.client, (entry, event) => watch.progressed(entry, event)),
      );
      const onStart = (name: string, input: unknown) => watch.begins(name, input);
      const { startSiteRole } = await import("./site-role.js");
      const running = await startSiteRole({ config, temporal, objects, link, onStart, log });
      undo.push((tell) => running.close(tell));
      failed.push(running.failed);
      sited = () => running.site.entries().map(({ target }) => ({ target, phase: null, untouched: false }));
      site = { url: running.url, tlsUrl: running.tlsUrl };
    }
    if (has("sessions") && catalogue) {
      const recorded = (record: SessionRecord) => watch.recorded(record);
      const { startSessions } = await import("./sessions.js");
      const running = await startSessions({ temporal, catalogue, objects, sessions, watch: recorded, version, log });
      undo.push(part("the worker that decides what sessions do next", () => running.stop()));
      failed.push(running.failed);
    }
    if (has("api") && catalogue) {
      const codec = temporal.sealed ? (temporal.dataConverter.payloadCodecs?.[0] ?? null) : null;
      const { startApiRole } = await import("./api.js");
      const running = await startApiRole({ config, catalogue, objects, sessions, events, codec, log });
      undo.push(part(`the API (${running.url})`, () => running.close()));
      // A process of sessions alone is an old build, kept for the sessions that began on it.
      if (version && has("sessions")) await makeCurrent(temporal, version);
      api = { url: running.url, token: running.token };
    }
    const at = { address: where.address, namespace: where.namespace, uiUrl };
    goOn();
    const openSessions = async () => (catalogue ? await sessionsNow(catalogue, sessions) : sited());
    return { api, temporal: at, site, failed: Promise.race(failed), openSessions, left, close };
  } catch (error) {
    await close(stop?.tell);
    throw error;
  }
}

/** PITSTOP_DATA, and all below it, belongs to this process's user alone from here on. */
async function ownDataFolder(config: Config, log: Logger): Promise<void> {
  const tightened = await secureDataFolder(config.PITSTOP_DATA);
  // Inside a closed folder no other user could reach the entries.
  const level = tightened.includes(config.PITSTOP_DATA) ? "warn" : "debug";
  const [first] = tightened;
  if (first) log[level]({ first, entries: tightened.length }, "took the rights of other users to PITSTOP_DATA away");
}

/** The open sessions, the first 20 with their phases from the session itself: a record may be older. */
async function sessionsNow(catalogue: Catalogue, sessions: TemporalSessionService): Promise<OpenSession[]> {
  const records = await catalogue.listRecords({ open: true, limit: 1000 });
  const touched = new Set((await catalogue.openSnapshots()).map(({ session }) => session));
  return await Promise.all(
    records.map(async ({ target, session }, i) => {
      const asked = i < MOST_NAMES ? sessions.status({ target, session }).catch(() => null) : null;
      const silent = sleep(PHASE_MS, null, { ref: false });
      return { target, untouched: !touched.has(session), phase: (await Promise.race([asked, silent]))?.phase ?? null };
    }),
  );
}

type Undo = Part[];

/** The catalogue; with the role `api`, with what every operations server has in it. */
async function readyCatalogue(config: Config, say: Say, log: Logger, undo: Undo, stop?: Stop): Promise<Catalogue> {
  const opened = await openCatalogue({
    data: config.PITSTOP_DATA,
    databaseUrl: config.DATABASE_URL,
    log: (message, facts) => log.warn(facts, message),
    say,
  });
  const catalogue = watched("catalogue", opened);
  const embedded = config.DATABASE_URL ? null : join(config.PITSTOP_DATA, "database", "data");
  const close: Part = (tell) => catalogue.close(tell);
  close.leaves = () => (embedded ? `the database (process ${postmasterOf(embedded) ?? "unknown"})` : null);
  undo.push(close);
  // A process of sessions alone may be an old build, kept for its own sessions: the new build registers what is built in.
  if (!config.PITSTOP_ROLES.includes("api")) return catalogue;
  const base = await prepareBaseImage(say, config.PITSTOP_BASE_IMAGE, stop?.signal).catch((error: unknown) => {
    stop?.signal.throwIfAborted();
    say(`without the built-in image: ${messageOf(error)}`);
    return null;
  });
  await registerBuiltins(catalogue, config.PITSTOP_DATA, base);
  return catalogue;
}

/** Temporal, configured or our own, with what sessions need of it. */
async function readyTemporal(config: Config, say: Say, log: Logger, undo: Undo, stop?: Stop) {
  const warn = (message: string, facts: object) => log.warn(facts, message);
  const own = configuredAddress() ? null : await ownTemporal(config, say, warn, stop);
  if (own) {
    const name = () => `the Temporal server (process ${own.pid() ?? "unknown"})`;
    undo.push(part(name(), () => own.stop(), name));
  }
  const where = configuredAddress() ?? own;
  if (!where) throw new Error("no Temporal server");
  const keys = await payloadKeys(config);
  await refuseChangedKeys(config, keys);
  const temporal = await connectTemporal(where, undefined, keys);
  undo.push(() => temporal.close());
  await ensureSearchAttributes(temporal.connection, temporal.namespace);
  if (own) await ensureRetention(temporal.connection, temporal.namespace, RETENTION_DAYS);
  return { temporal, where, uiUrl: own?.uiUrl ?? null };
}

async function ownTemporal(
  config: Config,
  say: Say,
  log: (message: string, facts: object) => void,
  stop?: Stop,
): Promise<DevServer> {
  const program = () => findTemporal(cacheFolder(), say, stop?.signal);
  return await ensureDevServer({ program, dir: join(dataFolder(config), "temporal"), log });
}

/** `pitstop serve`: until a signal ends it. Sessions that are away go on when it is started again. */
export async function serve(config: Config): Promise<number> {
  let server: RunningRoles | null = null;
  const stop = listenForStop(() => server?.left() ?? []);
  try {
    server = await startRoles(config, terminalSay(), stop);
    console.log(addresses(server).join("\n"));
    await Promise.race([stop.asked, server.failed]);
    return 0;
  } catch (error) {
    // A start that was stopped is no failure.
    if (stop.signal.aborted && server === null) return 0;
    throw error;
  } finally {
    if (server) await stopServer(server, stop);
    stop.end();
  }
}

/**
 * Stops a server. At a signal it names the targets that are away, then each part in order; `first` stops what would be
 * without its server.
 */
export async function stopServer(
  server: Pick<RunningRoles, "openSessions" | "close">,
  stop: Stop,
  first: () => Promise<void> = async () => undefined,
): Promise<void> {
  const asked = stop.signal.aborted;
  if (asked) {
    // A database that does not answer must not hold the stop.
    const silent = sleep(OPEN_MS, [], { ref: false });
    for (const line of sayAway(await Promise.race([server.openSessions().catch(() => []), silent]))) console.log(line);
  }
  await first();
  await server.close(stop.tell);
  if (asked) console.log("Stopped.");
}

/** The addresses of a process that has started. The last line, of the boot server, shows that the start is complete. */
export const addresses = ({ api, temporal, site }: Pick<RunningRoles, "api" | "temporal" | "site">): string[] => [
  ...(api ? [`API            ${api.url}/api/v1   (OpenAPI: ${api.url}/openapi.json)`] : []),
  `Temporal       ${temporal.address}, namespace ${temporal.namespace}`,
  ...(temporal.uiUrl ? [`Temporal UI    ${temporal.uiUrl}`] : []),
  ...(site ? [`Boot server    ${site.url}   (agents: ${site.tlsUrl})`] : []),
];
