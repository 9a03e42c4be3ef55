import type { Logger } from "pino";
import type { HomeWay } from "../domain/target.js";
import { type Clock, iso } from "./clock.js";
import { type Entries, unguessable } from "./entries.js";
import { homeScript, sessionScript, whoAreYouScript } from "./ipxe.js";
import type { Journal } from "./journal.js";
import { withFresh } from "./nonces.js";
import { Pace } from "./pace.js";
import { isOrphaned, type SessionLink, type SiteBoot, type SiteEntry } from "./site.js";
import { type Claim, fits } from "./whose.js";

export interface BootScriptOptions {
  entries: Entries;
  journal: Journal;
  link: Pick<SessionLink, "progress" | "isAlive">;
  /** Called when a target asks for its script after its agent had said hello. Resolves when the session will hear of it. */
  onRebooted: (entry: SiteEntry, how: string) => Promise<void>;
  now: Clock;
  log: Logger;
}

/** Answers `/boot.ipxe`: who are you, the live session's script, or the way home. Null: answer 404, which is a way home too. */
export class BootScripts {
  readonly #options: BootScriptOptions;
  readonly #pace: Pace;

  constructor(options: BootScriptOptions) {
    this.#options = options;
    this.#pace = new Pace(options.now);
  }

  /**
   * `peek` (a HEAD request) changes nothing and mints nothing: the text has the length of the one that a GET would get.
   * `from` is the address that asks; who asks without a pause is sent home, and changes nothing either.
   */
  async answer(claim: Claim, peek: boolean, from: string): Promise<string | null> {
    if (!claim.said) return whoAreYouScript();
    const entry = this.#whose(claim);
    if (!entry) return homeOf(null, claim);
    const boot = this.#live(entry);
    if (!boot || boot.revoked) return homeOf(entry, claim);
    if (entry.plan.via === "virtual-media") return this.#notByNetwork(entry, claim);
    if (!peek && !this.#pace.take(from, entry.target)) return homeOf(entry, claim);
    if (boot.helloAt !== null) {
      if (!peek) await this.#seenAgain(entry);
      return homeOf(entry, claim);
    }
    if (peek) return this.#render(entry, unguessable(), claim);
    if (await isOrphaned(this.#options.link, entry)) return homeOf(entry, claim);
    return this.#render(entry, await this.#mint(entry, boot, from), claim);
  }

  /** The entry whose files may be fetched below this nonce: until the hello, and until its deadline. */
  filesOf(nonce: string, byNonce: (nonce: string) => SiteEntry | null): { entry: SiteEntry; boot: SiteBoot } | null {
    const entry = byNonce(nonce);
    const boot = entry ? this.#live(entry) : null;
    // The nonce of a medium is in it, and opens nothing else.
    return entry && boot && !boot.revoked && boot.helloAt === null && !boot.medium ? { entry, boot } : null;
  }

  #whose(claim: Claim): SiteEntry | null {
    const said = { uuid: claim.uuid, macs: claim.mac === null ? [] : [claim.mac] };
    const mine = this.#options.entries.all().filter((entry) => fits(entry.plan.target.identity, said));
    // The catalogue refuses two names for one machine; a machine that fits two entries all the same gets neither.
    return mine.length === 1 ? (mine[0] ?? null) : null;
  }

  #live(entry: SiteEntry): SiteBoot | null {
    return Date.parse(entry.absoluteDeadline) > this.#options.now() && entry.plan.image !== null ? entry.boot : null;
  }

  async #mint(entry: SiteEntry, boot: SiteBoot, from: string): Promise<string> {
    const at = iso(this.#options.now());
    const nonce = unguessable();
    boot.nonces = withFresh(boot.nonces, { nonce, mintedAt: at, from });
    boot.scriptFetchedAt = at;
    await this.#options.journal.save(entry);
    this.#options.link.progress(entry, { what: "script-fetched" });
    this.#options.log.info({ target: entry.target, epoch: boot.epoch }, "the boot script was fetched");
    return nonce;
  }

  /**
   * A medium's session takes nobody in by the network, where a name is only a claim: it would be a way around the seal.
   * Nor does who asks say anything about the target: it may be anybody.
   */
  #notByNetwork(entry: SiteEntry, claim: Claim): string | null {
    this.#options.log.warn(
      { target: entry.target },
      "a boot script was asked for in the name of a target that boots from a medium; it was sent home",
    );
    return homeOf(entry, claim);
  }

  /** Over plain netboot the target is who it says it is; on a sealed path a claim revokes nothing. */
  async #seenAgain(entry: SiteEntry): Promise<void> {
    if (entry.plan.grade === "sealed") {
      this.#options.log.warn({ target: entry.target }, "a boot script was asked for in the name of a sealed session");
      return;
    }
    await this.#options.onRebooted(entry, "the boot script was fetched a second time");
  }

  #render(entry: SiteEntry, nonce: string, claim: Claim): string {
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

/** Promise 4: an image that panics goes home by itself. An image may say its own number of seconds. */
export function withPanicReboot(cmdline: readonly string[]): string[] {
  const has = (key: string): boolean => cmdline.some((arg) => arg.startsWith(`${key}=`));
  return [...cmdline, ...(has("panic") ? [] : ["panic=30"]), ...(has("oops") ? [] : ["oops=panic"])];
}

const homeOf = (entry: SiteEntry | null, claim: Claim): string | null => {
  if (!entry) return homeScript(homeByPlatform(claim) ?? "by-platform");
  const way = homeWay(entry, claim);
  return way === "404" ? null : homeScript(way);
};

const homeByPlatform = (claim: Claim): HomeWay | null =>
  claim.platform === null ? null : claim.platform === "efi" ? "exit-1" : "exit";

/** The target's own way, unless it came up under the other firmware: then its document does not speak of this boot. */
function homeWay(entry: SiteEntry, claim: Claim): HomeWay {
  const { firmware, home } = entry.plan.target.boot;
  const seen = claim.platform === null ? firmware : claim.platform === "efi" ? "uefi" : "bios";
  const usual = seen === "uefi" ? "exit-1" : "exit";
  return seen === firmware ? (home ?? usual) : usual;
}
