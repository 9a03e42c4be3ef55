import { hostname } from "node:os";
import { join } from "node:path";
import type { Logger } from "pino";
import { AgentGateway } from "../src/agent/gateway.js";
import { agentRoutes } from "../src/agent/routes.js";
import { BootScripts } from "../src/boot/boot-script.js";
import { ImageCache } from "../src/boot/cache.js";
import type { Clock } from "../src/boot/clock.js";
import { contactsOf, noteFetched } from "../src/boot/contacts.js";
import { Entries } from "../src/boot/entries.js";
import { Journal } from "../src/boot/journal.js";
import { startListener } from "../src/boot/listener.js";
import { Media } from "../src/boot/media.js";
import { mediumName, noteMediumRead, sessionMedium } from "../src/boot/medium-served.js";
import { bootRoutes, entryByNonce, isVoided, mediaRoutes } from "../src/boot/routes.js";
import { ensureSecret } from "../src/boot/secret.js";
import type { ArchiveFacts } from "../src/boot/session-archive.js";
import type { SessionLink, Site, SiteBoot, SiteEntry } from "../src/boot/site.js";
import { imagesInUse, refuseUnsealed, requireStaged, stageImage } from "../src/boot/staging.js";
import { ensureTls, siteNames } from "../src/boot/tls.js";
import { fits } from "../src/boot/whose.js";
import type { Config } from "../src/config.js";
import { ensureFolder } from "../src/stores/atomic.js";
import type { SourceOptions } from "../src/stores/source.js";
import type { ObjectStore } from "../src/stores/store.js";
import { watched } from "./effects.js";

/** 20 GiB: some hundred images, and less than the smallest disk that a server has. */
const CACHE_BYTES = 20 * 1024 ** 3;
const RENEWAL_CHECK_MS = 12 * 3_600_000;

export interface SiteOptions {
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
  cacheBytes?: number;
  /** Folder with `ipxe.efi` and `snponly.efi`. Default: that of Debian's package ipxe. */
  ipxeFolder?: string;
  /** Folder with GRUB's platforms `i386-pc` and `x86_64-efi`. Default: that of Debian's packages. */
  grubFolder?: string;
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

/** Starts the site's boot server and agent gateway on what the site's folder remembers. */
export async function startSite(options: SiteOptions): Promise<RunningSite> {
  const { config, link, log } = options;
  const now = options.now ?? Date.now;
  const folder = await ensureFolder(join(config.PITSTOP_DATA, "site"));
  const journal = watched("journal", await Journal.open(join(folder, "journal")));
  for (const file of journal.corrupt) log.error(file, "a journal file was corrupt and was moved aside; look at it");

  const names = siteNames([config.PITSTOP_SITE_URL, config.PITSTOP_SITE_TLS_URL, config.PITSTOP_SITE_BMC_URL]);
  let tls = await ensureTls(folder, names, now);
  const entries = new Entries({ journal, link, now });
  let media: Media | null = null;
  const cache = await ImageCache.open({
    folder: join(folder, "cache"),
    maxBytes: options.cacheBytes ?? CACHE_BYTES,
    inUse: () => imagesInUse(entries.all(), media),
  });
  media = await Media.open({
    folder: join(folder, "media"),
    cache,
    grubFolder: options.grubFolder ?? "/usr/lib/grub",
  });
  const gateway = new AgentGateway({
    sessions: {
      get: (target) => entries.get(target),
      all: () => entries.all(),
      byNonce: (nonce) => entryByNonce(entries, nonce),
      isVoided: (nonce) => isVoided(entries, nonce),
      save: (entry) => journal.save(entry),
    },
    link,
    objects: options.stores.objects,
    fits,
    key: await ensureSecret(join(folder, "token.key")),
    logFolder: await ensureFolder(join(folder, "logs")),
    now,
    log,
  });
  const scripts = new BootScripts({
    entries,
    journal,
    link,
    onRebooted: (entry, how) => gateway.rebooted(entry, how),
    now,
    log,
  });

  const addresses = { url: "", tlsUrl: "" };
  const boot = {
    entries,
    scripts,
    cache,
    archiveFacts: () => ({ tlsUrl: addresses.tlsUrl, ca: tls.ca, pin: tls.pin }),
    ipxeFolder: options.ipxeFolder ?? "/usr/lib/ipxe",
    onFetched: (entry: SiteEntry, of: SiteBoot, name: string) => noteFetched(link, entry, of, name, now),
    onMediumRead: (entry: SiteEntry, of: SiteBoot, end: number) => noteMediumRead(link, entry, of, end, now),
    now,
  };
  const clearMedia = config.PITSTOP_SITE_BMC_URL?.startsWith("http:") === true;
  const plain = await startListener({
    listen: config.PITSTOP_SITE_LISTEN,
    log,
    routes: (app) => {
      bootRoutes(app, boot);
      if (clearMedia) mediaRoutes(app, boot);
    },
  });
  const sealed = await startListener({
    listen: config.PITSTOP_SITE_TLS_LISTEN,
    tls,
    log,
    routes: (app) => {
      bootRoutes(app, boot);
      mediaRoutes(app, boot);
      agentRoutes(app, watched("agent", gateway));
    },
  }).catch(async (error: unknown) => {
    // A listener that stays open would keep a process alive that has failed.
    gateway.close();
    await plain.close();
    throw error;
  });
  addresses.url = config.PITSTOP_SITE_URL ?? `http://${hostname()}:${plain.port}`;
  addresses.tlsUrl = config.PITSTOP_SITE_TLS_URL ?? `https://${hostname()}:${sealed.port}`;
  gateway.resume();

  const renewal = setInterval(() => void renew(), RENEWAL_CHECK_MS);
  renewal.unref();
  const renew = async (): Promise<void> => {
    try {
      tls = await ensureTls(folder, names, now);
      sealed.renew(tls);
    } catch (error) {
      log.error({ err: error }, "the site's certificate could not be renewed; it is tried again in 12 hours");
    }
  };

  return {
    site: siteOf({
      ...{ entries, cache, media, gateway, sources: options.stores.sources, url: addresses.url },
      bmcUrl: config.PITSTOP_SITE_BMC_URL ?? addresses.tlsUrl,
      archiveFacts: boot.archiveFacts,
    }),
    url: addresses.url,
    tlsUrl: addresses.tlsUrl,
    ports: { http: plain.port, tls: sealed.port },
    ca: tls.ca,
    async close() {
      clearInterval(renewal);
      gateway.close();
      await Promise.all([plain.close(), sealed.close()]);
    },
  };
}

interface Parts {
  entries: Entries;
  cache: ImageCache;
  media: Media;
  gateway: AgentGateway;
  sources: SourceOptions;
  url: string;
  /** As BMCs reach the media. */
  bmcUrl: string;
  archiveFacts: () => ArchiveFacts;
}

/** The boot server's and the gateway's halves of each promise, side by side. */
function siteOf({ entries, cache, media, gateway, sources, url, bmcUrl, archiveFacts }: Parts): Site {
  return {
    open: (plan, runId) => entries.open(plan, runId),
    entry: (target) => entries.get(target),
    entries: () => entries.all(),
    keepSnapshot: (target, session, snapshot) => entries.keepSnapshot(target, session, snapshot),
    note: (target, session, action) => entries.note(target, session, action),
    seenAtHome: (target, session) => entries.seenAtHome(target, session),
    async stage(plan, onProgress, signal) {
      refuseUnsealed(plan, bmcUrl);
      return await stageImage(plan, { cache, media, sources }, onProgress, signal);
    },
    async publish(target, session, epoch, wasOff) {
      const entry = entries.get(target);
      if (entry?.session === session) await requireStaged(entry.plan, cache);
      const byMedium = entry?.session === session && entry.plan.via === "virtual-media";
      const made = byMedium ? await media.ensure(entry.plan) : null;
      const before = entry?.boot;
      const boot = await entries.publish(
        ...([target, session, epoch, wasOff] as const),
        made && ((of, at, minted) => sessionMedium(of, at, minted, { made, facts: archiveFacts() })),
      );
      if (boot !== before) gateway.bootEnded(target);
      return {
        // snponly.efi uses the firmware's own network stack: Debian 12's ipxe.efi does not come back under OVMF when
        // its script exits, and the target would not get home.
        httpBootUri: `${url}/u/${boot.mediaSegment}/snponly.efi`,
        scriptUrl: `${url}/boot.ipxe`,
        mediaUrl: entry && boot.medium ? `${bmcUrl}/m/${boot.mediaSegment}/${mediumName(entry)}` : null,
      };
    },
    async withdraw(target, session) {
      await entries.withdraw(target, session);
      if (entries.get(target)?.session === session) gateway.bootEnded(target);
    },
    async close(target, session) {
      const mine = entries.get(target)?.session === session;
      await entries.close(target, session);
      if (mine) await gateway.closed(target);
    },
    contacts: (target) => contactsOf(entries.get(target)),
    offer: (target, session, task, signal) => gateway.offer(target, session, task, signal),
    finish: (target, session, power, waitMs) => gateway.finish(target, session, power, waitMs),
  };
}
