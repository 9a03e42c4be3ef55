import { messageOf } from "../domain/errors.js";
import type { HomeAnswer } from "../domain/snapshot.js";
import type { HomeCheck } from "../domain/target.js";
import type { SiteBoot, SiteEntry } from "./entry.js";
import type { SessionLink } from "./session-link.js";
import type { Site } from "./site.js";

/** Between two looks at the home checks of a target that is away. */
const EVERY_MS = 5_000;
/** Between two reports of the same boot, doubled up to the last. A session may ignore a report that comes too early; growing pauses keep its history short. */
const AGAIN_MS = 60_000;
const LAST_AGAIN_MS = 60 * 60_000;

/**
 * Reports a target whose own system answers while it should boot or work in the image (promise 6): the override was ignored
 * or spent, or the target rebooted by itself. Only an answer from another boot of the same machine counts: anybody may answer
 * on a port, and a system that is shutting down still answers. Returns the function that stops the watch.
 */
export function watchHomes(deps: {
  site: Pick<Site, "entries" | "seenAtHome">;
  link: Pick<SessionLink, "rebooted">;
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
    // Kept before the session hears of it: the session may be out of reach for long.
    if (home || mayBeOwn(boot, before, answers)) {
      await site.seenAtHome(entry.target, entry.session).catch((error: unknown) => {
        const facts = { target: entry.target, error: messageOf(error) };
        log("the journal could not keep that a target's own system was seen", facts);
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

/** A target that was off gave no answer to compare with. Before its image has said hello, any answer may be its own system's, which must not be forced off. */
const mayBeOwn = (boot: SiteBoot, before: HomeAnswer[], answers: HomeAnswer[]): boolean =>
  boot.helloAt === null && !before.some((b) => b.answered) && answers.some((answer) => answer.answered);

const isAnotherBoot = (before: HomeAnswer, now: HomeAnswer): boolean =>
  now.answered && now.machineId !== null && now.machineId === before.machineId && now.bootId !== before.bootId;
