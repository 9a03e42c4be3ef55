import { join } from "node:path";
import type { Logger } from "pino";
import { AgentGateway } from "../src/agent/gateway.js";
import { agentRoutes } from "../src/agent/routes.js";
import { type BootServerOptions, HttpBootServer } from "../src/boot/boot-server.js";
import type { Config } from "../src/config.js";
import type { Clock } from "../src/site/clock.js";
import { Entries } from "../src/site/entries.js";
import { Journal } from "../src/site/journal.js";
import { ensureKey } from "../src/site/keys.js";
import type { SessionLink } from "../src/site/session-link.js";
import { type Site, siteOf } from "../src/site/site.js";
import { ensureFolder } from "../src/stores/atomic.js";
import type { SourceOptions } from "../src/stores/source.js";
import type { ObjectStore } from "../src/stores/store.js";
import { watched } from "./effects.js";

export interface SiteOptions extends Pick<BootServerOptions, "cacheBytes" | "ipxeFolder" | "grubFolder"> {
  config: Pick<
    Config,
    | "PITSTOP_DATA"
    | "PITSTOP_SITE_LISTEN"
    | "PITSTOP_SITE_TLS_LISTEN"
    | "PITSTOP_SITE_URL"
    | "PITSTOP_SITE_TLS_URL"
    | "PITSTOP_SITE_BMC_URL"
  >;
  stores: {
    /** Findings, logs and scripts. */
    objects: ObjectStore;
    /** Where images come from; `root` is the image folder, `PITSTOP_DATA/images`. */
    sources: SourceOptions;
  };
  link: SessionLink;
  log: Logger;
  now?: Clock;
}

export interface RunningSite {
  site: Site;
  /** As targets reach them, without a path. */
  url: string;
  tlsUrl: string;
  ports: { http: number; tls: number };
  /** PEM of the CA that signed the TLS listener's certificate. */
  ca: string;
  close: () => Promise<void>;
}

/** Starts a site on its folder: journal, boot server, agent gateway. `refused` for the folder of an older Pitstop. */
export async function startSite(options: SiteOptions): Promise<RunningSite> {
  const { config, link, log, stores, now = Date.now } = options;
  const folder = await ensureFolder(join(config.PITSTOP_DATA, "site"));
  const journal = watched("journal", await Journal.open(join(folder, "journal"), log));
  const entries = new Entries({ journal, link, now });
  const agents = new AgentGateway({
    ...{ entries, link, now, log, objects: stores.objects },
    key: await ensureKey(join(folder, "token.key")),
    logFolder: await ensureFolder(join(folder, "logs")),
  });
  const boot = await HttpBootServer.open({
    ...{ folder, entries, link, now, log, sources: stores.sources },
    onRebooted: (entry, how) => agents.rebooted(entry, how),
    listen: { plain: config.PITSTOP_SITE_LISTEN, tls: config.PITSTOP_SITE_TLS_LISTEN },
    urls: { plain: config.PITSTOP_SITE_URL, tls: config.PITSTOP_SITE_TLS_URL, bmc: config.PITSTOP_SITE_BMC_URL },
    cacheBytes: options.cacheBytes,
    ipxeFolder: options.ipxeFolder,
    grubFolder: options.grubFolder,
  });
  const ports = await boot
    .listen((app) => agentRoutes(app, watched("agent", agents)))
    .catch((error: unknown) => {
      agents.close();
      throw error;
    });
  agents.resume();
  return {
    site: siteOf({ entries, boot, agents }),
    url: boot.url,
    tlsUrl: boot.tlsUrl,
    ports,
    ca: boot.ca,
    async close() {
      agents.close();
      await boot.close();
    },
  };
}
