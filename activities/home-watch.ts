import type { SessionLink, Site, SiteBoot, SiteEntry } from "../src/boot/site.js";
import { messageOf } from "../src/domain/errors.js";
import type { HomeAnswer } from "../src/domain/snapshot.js";
import type { HomeCheck } from "../src/domain/target.js";

/** How often the home of a target that is away is asked. */
const EVERY_MS = 5_000;
/** When the session is told of the same boot again, at growing distances: what it heard too early it hears again, and its history stays short. */
const AGAIN_MS = 60_000;
const LAST_AGAIN_MS = 60 * 60_000;

/**
 * Sees a target whose own system answers while it should boot or work in the image (promise 6): the override was
 * ignored or spent, or the target rebooted by itself. Only an answer from another boot of the same machine counts: a
 * port may be anybody's, and a system that is shutting down still answers.
 */
export function watchHomes(deps: {
  site: Site;
  link: SessionLink;
  askHome: (check: HomeCheck) => Promise<HomeAnswer>;
  log: (message: string, facts: object) => void;
  everyMs?: number;
  againMs?: number;
}): () => void {
  const { site, link, askHome, log } = deps;
  let busy = false;
  const told = new WeakMap<SiteBoot, { bootId: string | null; at: number; pauseMs: number }>();

  const look = async (entry: SiteEntry) => {
    const boot = entry.boot;
    const before = entry.snapshot?.home ?? [];
    const answers = await Promise.all(entry.plan.target.home.map(askHome));
    if (boot === null || boot !== entry.boot || !isAway(entry)) return;
    const home = answers.find((answer) => before.some((b) => isAnotherBoot(b, answer)));
    // Before anyone is told: the session may not be reachable, and this must not be forgotten by then.
    if (home || mayBeOwn(boot, before, answers)) {
      await site.seenAtHome(entry.target, entry.session).catch((error: unknown) => {
        const facts = { target: entry.target, error: messageOf(error) };
        log("it could not be kept that a target's own system was seen", facts);
      });
    }
    if (!home) return;
    const last = told.get(boot);
    const again = last?.bootId === home.bootId ? last : null;
    if (again && performance.now() - again.at < again.pauseMs) return;
    log("a target's own system answers while it should be away", { target: entry.target, check: home.check });
    await link.rebooted(entry, home.bootId ?? "", "its own system answers");
    const pauseMs = again ? Math.min(2 * again.pauseMs, LAST_AGAIN_MS) : (deps.againMs ?? AGAIN_MS);
    told.set(boot, { bootId: home.bootId, at: performance.now(), pauseMs });
  };

  const timer = setInterval(() => {
    if (busy) return;
    busy = true;
    void Promise.allSettled(site.entries().filter(isAway).map(look)).then(() => {
      busy = false;
    });
  }, deps.everyMs ?? EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}

const isAway = (entry: SiteEntry): boolean =>
  entry.boot !== null && !entry.boot.revoked && entry.ledger.withdrawnAt === null;

/** Of a target that was off nothing is known to compare with: an answer where its own system would, before any image spoke, keeps its plug in. */
const mayBeOwn = (boot: SiteBoot, before: HomeAnswer[], answers: HomeAnswer[]): boolean =>
  boot.helloAt === null && !before.some((b) => b.answered) && answers.some((answer) => answer.answered);

const isAnotherBoot = (before: HomeAnswer, now: HomeAnswer): boolean =>
  now.answered && now.machineId !== null && now.machineId === before.machineId && now.bootId !== before.bootId;
