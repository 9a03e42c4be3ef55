import type { SessionLink, Site, SiteEntry } from "../src/boot/site.js";
import type { HomeAnswer } from "../src/domain/snapshot.js";
import type { HomeCheck } from "../src/domain/target.js";

/** How often a working target's home is asked. An unplanned reboot is seen within this time and a boot. */
const EVERY_MS = 20_000;

/**
 * Sees a target whose own system answers while it should work in the image (promise 6): it rebooted by itself, and the
 * one-time override led it home. Only an answer that names the machine counts: a port may be anybody's.
 */
export function watchHomes(deps: {
  site: Site;
  link: SessionLink;
  askHome: (check: HomeCheck) => Promise<HomeAnswer>;
  log: (message: string, facts: object) => void;
  everyMs?: number;
}): () => void {
  const { site, link, askHome, log } = deps;
  let busy = false;

  const look = async (entry: SiteEntry) => {
    const boot = entry.boot;
    const before = entry.snapshot?.home ?? [];
    const answers = await Promise.all(entry.plan.target.home.map(askHome));
    const home = answers.find(
      (answer) => answer.answered && answer.machineId !== null && before.some((b) => b.machineId === answer.machineId),
    );
    if (home && boot === entry.boot && isWorking(entry)) {
      log("a target's own system answers during its work", { target: entry.target, check: home.check });
      await link.rebooted(entry, home.bootId ?? "", "its own system answers");
    }
  };

  const timer = setInterval(() => {
    if (busy) return;
    busy = true;
    const working = site.entries().filter(isWorking);
    void Promise.allSettled(working.map(look)).then(() => {
      busy = false;
    });
  }, deps.everyMs ?? EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}

const isWorking = (entry: SiteEntry): boolean =>
  entry.boot !== null && entry.boot.helloAt !== null && !entry.boot.revoked && entry.ledger.withdrawnAt === null;
