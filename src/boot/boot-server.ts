import { hostname } from "node:os";
import { join } from "node:path";
import type { FastifyInstance } from "fastify";
import type { PlannedWay, SessionPlan } from "../domain/session.js";
import type { MakeMedium } from "../site/entries.js";
import type { SiteBoot, SiteEntry } from "../site/entry.js";
import type { BootServer } from "../site/site.js";
import type { SourceOptions } from "../stores/source.js";
import type { BootUrls } from "../ways/way.js";
import { type BootScriptOptions, BootScripts } from "./boot-script.js";
import { ImageCache } from "./cache.js";
import { noteFetched, noteMediumRead } from "./contacts.js";
import { type Listener, startListener } from "./listener.js";
import { Media } from "./media.js";
import { mediumName, sessionMedium } from "./medium-served.js";
import { type BootRoutes, bootRoutes, mediaRoutes } from "./routes.js";
import type { ArchiveFacts } from "./session-archive.js";
import { imagesInUse, refuseUnsealed, requireStaged, stageImage } from "./staging.js";
import { ensureTls, type SiteTls, siteNames } from "./tls.js";

/** 20 GiB: some hundred images, and less than the smallest disk that a server has. */
const CACHE_BYTES = 20 * 1024 ** 3;
const RENEWAL_CHECK_MS = 12 * 3_600_000;

interface Address {
  host: string;
  port: number;
}

export interface BootServerOptions extends Pick<BootScriptOptions, "entries" | "link" | "onRebooted" | "now" | "log"> {
  /** The site's own folder: certificates, images, media. */
  folder: string;
  listen: { plain: Address; tls: Address };
  /** As targets reach the two listeners, and as BMCs reach the media; without a path. Default: this host's name, and the TLS listener. */
  urls: { plain?: string | undefined; tls?: string | undefined; bmc?: string | undefined };
  sources: SourceOptions;
  /** Default: 20 GiB. */
  cacheBytes?: number | undefined;
  /** Folder with `ipxe.efi` and `snponly.efi`. Default: that of Debian's package ipxe. */
  ipxeFolder?: string | undefined;
  /** Folder with GRUB's platforms `i386-pc` and `x86_64-efi`. Default: that of Debian's packages. */
  grubFolder?: string | undefined;
}

/** The site's boot server: its images, its media, and the two listeners for targets and BMCs. */
export class HttpBootServer implements BootServer {
  readonly #options: BootServerOptions;
  readonly #names: string[];
  readonly #cache: ImageCache;
  readonly #media: Media;
  #tls: SiteTls;
  #listeners: { plain: Listener; tls: Listener } | null = null;
  #renewal: NodeJS.Timeout | undefined;
  /** As targets reach the listeners, without a path; empty before {@link listen}. */
  url = "";
  tlsUrl = "";

  private constructor(
    options: BootServerOptions,
    has: { names: string[]; tls: SiteTls; cache: ImageCache; media: Media },
  ) {
    this.#options = options;
    this.#names = has.names;
    this.#tls = has.tls;
    this.#cache = has.cache;
    this.#media = has.media;
  }

  /** Ensures certificates and opens what an earlier process left of images and media. Serves nothing before {@link listen}. */
  static async open(options: BootServerOptions): Promise<HttpBootServer> {
    const { folder, urls, entries, now } = options;
    const names = siteNames([urls.plain, urls.tls, urls.bmc]);
    const tls = await ensureTls(folder, names, now);
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
    return new HttpBootServer(options, { names, tls, cache, media });
  }

  /** PEM of the CA that signed the TLS listener's certificate. */
  get ca(): string {
    return this.#tls.ca;
  }

  /** Starts both listeners; `agentRoutes` are served on the TLS one alone. `refused` where an address cannot be listened on. */
  async listen(agentRoutes: (app: FastifyInstance) => void): Promise<{ http: number; tls: number }> {
    const { listen, urls, log } = this.#options;
    const routes = this.#routes();
    // Media travel in the clear only where the BMCs were told to come that way.
    const clearMedia = urls.bmc?.startsWith("http:") === true;
    const plain = await startListener({
      listen: listen.plain,
      log,
      routes: (app) => {
        bootRoutes(app, routes);
        if (clearMedia) mediaRoutes(app, routes);
      },
    });
    const tls = await startListener({
      listen: listen.tls,
      tls: this.#tls,
      log,
      routes: (app) => {
        bootRoutes(app, routes);
        mediaRoutes(app, routes);
        agentRoutes(app);
      },
    }).catch(async (error: unknown) => {
      // A listener that stays open would keep a failed process alive.
      await plain.close();
      throw error;
    });
    this.#listeners = { plain, tls };
    this.url = urls.plain ?? `http://${hostname()}:${plain.port}`;
    this.tlsUrl = urls.tls ?? `https://${hostname()}:${tls.port}`;
    this.#renewal = setInterval(() => void this.#renew(), RENEWAL_CHECK_MS);
    this.#renewal.unref();
    return { http: plain.port, tls: tls.port };
  }

  async close(): Promise<void> {
    clearInterval(this.#renewal);
    await Promise.all([this.#listeners?.plain.close(), this.#listeners?.tls.close()]);
  }

  async stage(
    plan: SessionPlan,
    way: PlannedWay,
    onProgress: (bytes: number) => void,
    signal: AbortSignal,
  ): Promise<{ fetchedBytes: number }> {
    refuseUnsealed(plan, way, this.#bmcUrl());
    const to = { cache: this.#cache, media: this.#media, sources: this.#options.sources };
    return await stageImage(plan, way, to, onProgress, signal);
  }

  async requireStaged(plan: SessionPlan): Promise<void> {
    await requireStaged(plan, this.#cache);
  }

  async makeMedium(plan: SessionPlan): Promise<MakeMedium> {
    const made = await this.#media.ensure(plan);
    return (entry, boot, minted) => sessionMedium(entry, boot, minted, { made, facts: this.#archiveFacts() });
  }

  urlsOf(entry: SiteEntry, boot: SiteBoot): BootUrls {
    return {
      // snponly.efi uses the firmware's own network stack. Under OVMF Debian 12's ipxe.efi does not come back when its script
      // exits, and the target would not get home.
      httpBootUri: `${this.url}/u/${boot.mediaSegment}/snponly.efi`,
      scriptUrl: `${this.url}/boot.ipxe`,
      mediaUrl: boot.medium ? `${this.#bmcUrl()}/m/${boot.mediaSegment}/${mediumName(entry)}` : null,
    };
  }

  #bmcUrl(): string {
    return this.#options.urls.bmc ?? this.tlsUrl;
  }

  #archiveFacts(): ArchiveFacts {
    return { tlsUrl: this.tlsUrl, ca: this.#tls.ca, pin: this.#tls.pin };
  }

  #routes(): BootRoutes {
    const { entries, link, now } = this.#options;
    return {
      entries,
      scripts: new BootScripts(this.#options),
      cache: this.#cache,
      archiveFacts: () => this.#archiveFacts(),
      ipxeFolder: this.#options.ipxeFolder ?? "/usr/lib/ipxe",
      onFetched: (entry, boot, name) => noteFetched(link, entry, boot, name, now),
      onMediumRead: (entry, boot, end) => noteMediumRead(link, entry, boot, end, now),
      now,
    };
  }

  async #renew(): Promise<void> {
    try {
      this.#tls = await ensureTls(this.#options.folder, this.#names, this.#options.now);
      this.#listeners?.tls.renew(this.#tls);
    } catch (error) {
      this.#options.log.error(
        { err: error },
        "the site's certificate could not be renewed; it is tried again in 12 hours",
      );
    }
  }
}
