import type { Logger } from "pino";
import { fits } from "../domain/machine-identity.js";
import type { HomeWay } from "../domain/target.js";
import type { Clock } from "../site/clock.js";
import type { Entries } from "../site/entries.js";
import type { SiteBoot, SiteEntry } from "../site/entry.js";
import { unguessable } from "../site/nonces.js";
import { RateLimit } from "../site/rate-limit.js";
import { isOrphaned, type SessionLink } from "../site/session-link.js";
import { wayOf } from "../ways/ways.js";
import { homeScript, sessionScript, whoAreYouScript } from "./ipxe.js";
import type { BootClaim } from "./machine-claim.js";

/**
 * How often one address may ask in the name of one target. A burst is more than firmware asks in its worst minute; each
 * script costs the site a write to its disk.
 */
export const SCRIPT_RATE = { burst: 32, perSecond: 1, maxKeys: 4096 };

export interface BootScriptOptions {
  entries: Pick<Entries, "all" | "byNonce" | "mintNonce">;
  link: Pick<SessionLink, "progress" | "isAlive">;
  /** Called when a target asks for its script after its agent had said hello. Resolves when the session will hear of it. */
  onRebooted: (entry: SiteEntry, how: string) => Promise<void>;
  now: Clock;
  log: Logger;
}

/** Answers `/boot.ipxe`: who are you, the live session's script, or the way home. Null: answer 404, which is a way home too. */
export class BootScripts {
  readonly #options: BootScriptOptions;
  readonly #limit: RateLimit;

  constructor(options: BootScriptOptions) {
    this.#options = options;
    this.#limit = new RateLimit(SCRIPT_RATE, options.now);
  }

  /**
   * `peek` (a HEAD request) changes nothing and mints nothing: the text has the length of the one that a GET would get.
   * `from` is the address that asks. Beyond its rate it gets the way home, and changes nothing either.
   */
  async answer(claim: BootClaim, peek: boolean, from: string): Promise<string | null> {
    if (!claim.said) return whoAreYouScript();
    const entry = this.#entryOf(claim);
    if (!entry) return homeOf(null, claim);
    const boot = this.#live(entry);
    if (!boot || boot.revoked) return homeOf(entry, claim);
    if (wayOf(boot.way.via).publishes !== "script") return this.#notByNetwork(entry, claim);
    if (!peek && !this.#limit.take(`${from} ${entry.target}`)) return homeOf(entry, claim);
    if (boot.helloAt !== null) {
      if (!peek) await this.#seenAgain(entry, boot);
      return homeOf(entry, claim);
    }
    if (peek) return this.#render(entry, unguessable(), claim);
    if (await isOrphaned(this.#options.link, entry)) return homeOf(entry, claim);
    return this.#render(entry, await this.#mint(entry, boot, from), claim);
  }

  /** The entry whose files may be fetched below this nonce: until the hello, and until its deadline. */
  filesOf(nonce: string): { entry: SiteEntry; boot: SiteBoot } | null {
    const entry = this.#options.entries.byNonce(nonce);
    const boot = entry ? this.#live(entry) : null;
    // The nonce of a medium is in it, and opens nothing else.
    return entry && boot && !boot.revoked && boot.helloAt === null && !boot.medium ? { entry, boot } : null;
  }

  #entryOf(claim: BootClaim): SiteEntry | null {
    const said = { uuid: claim.uuid, macs: claim.mac === null ? [] : [claim.mac] };
    const mine = this.#options.entries.all().filter((entry) => fits(entry.plan.target.identity, said));
    // The catalogue refuses two names for one machine. A machine that fits two entries nevertheless gets neither.
    return mine.length === 1 ? (mine[0] ?? null) : null;
  }

  #live(entry: SiteEntry): SiteBoot | null {
    return Date.parse(entry.absoluteDeadline) > this.#options.now() && entry.plan.image !== null ? entry.boot : null;
  }

  async #mint(entry: SiteEntry, boot: SiteBoot, from: string): Promise<string> {
    const nonce = await this.#options.entries.mintNonce(entry, boot, from);
    this.#options.link.progress(entry, { what: "script-fetched" });
    this.#options.log.info({ target: entry.target, epoch: boot.epoch }, "the boot script was fetched");
    return nonce;
  }

  /**
   * A boot from a medium has no script: by the network a name is only a claim, which would be a way around the seal. The request
   * says nothing about the target either, because anybody may make it.
   */
  #notByNetwork(entry: SiteEntry, claim: BootClaim): string | null {
    this.#options.log.warn(
      { target: entry.target },
      "a boot script was asked for in the name of a target that boots from a medium; the answer was the way home",
    );
    return homeOf(entry, claim);
  }

  /** Over plain netboot a claim counts as the target. On a sealed way a claim revokes nothing. */
  async #seenAgain(entry: SiteEntry, boot: SiteBoot): Promise<void> {
    if (boot.way.grade === "sealed") {
      this.#options.log.warn({ target: entry.target }, "a boot script was asked for in the name of a sealed session");
      return;
    }
    await this.#options.onRebooted(entry, "the boot script was fetched a second time");
  }

  #render(entry: SiteEntry, nonce: string, claim: BootClaim): string {
    const image = entry.plan.image;
    if (!image) throw new TypeError("a live entry has an image");
    return sessionScript({
      session: entry.session,
      folder: `/b/${nonce}`,
      kernel: "vmlinuz",
      initrds: [...image.initrds.map((_, index) => `initrd${index}`), "session.cpio"],
      args: withPanicReboot(image.cmdline),
      home: homeWay(entry, claim),
    });
  }
}

/** Promise 4: an image that panics goes home by itself, after 30 s unless the image says its own number of seconds. */
export function withPanicReboot(cmdline: readonly string[]): string[] {
  const has = (key: string): boolean => cmdline.some((arg) => arg.startsWith(`${key}=`));
  return [...cmdline, ...(has("panic") ? [] : ["panic=30"]), ...(has("oops") ? [] : ["oops=panic"])];
}

const homeOf = (entry: SiteEntry | null, claim: BootClaim): string | null => {
  if (!entry) return homeScript(homeByPlatform(claim) ?? "by-platform");
  const way = homeWay(entry, claim);
  return way === "404" ? null : homeScript(way);
};

const homeByPlatform = (claim: BootClaim): HomeWay | null =>
  claim.platform === null ? null : claim.platform === "efi" ? "exit-1" : "exit";

/** The target's own way. Where it came up under the other firmware, its document does not describe this boot: then the usual way. */
function homeWay(entry: SiteEntry, claim: BootClaim): HomeWay {
  const { firmware, home } = entry.plan.target.boot;
  const seen = claim.platform === null ? firmware : claim.platform === "efi" ? "uefi" : "bios";
  const usual = seen === "uefi" ? "exit-1" : "exit";
  return seen === firmware ? (home ?? usual) : usual;
}
