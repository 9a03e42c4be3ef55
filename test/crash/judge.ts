import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type PitstopClient, ServerUnreachable } from "../../src/api/client.js";
import { messageOf, PitstopError } from "../../src/domain/errors.js";
import type { SessionRecord } from "../../src/domain/record.js";
import { Target } from "../../src/domain/target.js";
import { outlast } from "./patience.js";
import { powerComplaints, powerLog } from "./power-log.js";

/** What the lab's normal system says of itself. */
export interface Home {
  machineId: string;
  bootId: string;
  bootCount: number;
  userFileSha256: string;
}

/** A target as nobody but its own parts tells it: its system's answer, its BMC's file, its boot menu's file. */
export interface Seen {
  home: Home | null;
  bmc: { override: unknown; medium: unknown; power: "On" | "Off" };
  bootOrder: string;
}

/** A target before what happens to it. */
export interface Begun {
  target: string;
  at: string;
  seen: Seen;
  /** Bytes of the lab's log that are from before. */
  logFrom: number;
}

export interface Expected {
  /** The sessions that the target had since `begin`, each with exactly one record. */
  sessions: string[];
  /** Sessions that were ended from outside: their records may be missing, and need not say how they ended. */
  lost?: string[];
  /** A session was ended from outside while its site forgot it: its power actions went with it, and no record has them. */
  unrecorded?: boolean;
  /** Resets that somebody else asked for, which no record explains. */
  strange?: (reset: string) => boolean;
  /** Starts of the target's own system since then, at least and at most. Without it: what the lab's log of power-ons allows. */
  boots?: readonly [number, number];
  /** Outcome of the work of the last session. */
  outcome?: SessionRecord["outcome"];
}

/**
 * A record says that the target is home before the site has been told, which is tried again after 5 s; and the log and the
 * last state of a BMC may reach their files a moment later.
 */
const LOOKS = 40;
const LOOK_AGAIN_MS = 500;
/** A busy host starts hundreds of machines at once, or emulates some. */
const HOME_MS = 240_000;

/**
 * Whether a target that was away is home, by evidence from outside of the program: the lab's files and log, the target's own
 * answers, and the records by REST. It works beside any process that serves, for process machines of a lab below
 * `data/lab`. What it holds, for the time from `begin` to `complaints`:
 *
 * - the target's own system answers again: the same machine, the user's file as it was, as many starts as expected (none
 *   where the power never moved); a target that was off is off, and silent;
 * - the BMC's override, medium and power, and the boot order, are what they were;
 * - each session that was expected has one record, ended `restored`, home proved unless it was untouched, no differences;
 *   and the target has no other record;
 * - each power event that the BMC was asked for is explained by one power action of the records, and each power action by the
 *   BMC's log: it happened, or the machine was there already;
 * - no boot snapshot is open, neither in the site's journal nor in the catalogue, and no session.
 */
export class Judge {
  /** Documents that were taken out of the catalogue, and may not be back. */
  private readonly out = new Map<string, unknown>();

  constructor(
    private readonly where: {
      /** PITSTOP_DATA of the server, with the lab's folder in it. */
      data: string;
      client: PitstopClient;
    },
  ) {}

  /** Waits until the target's own system answers, where the target is on. */
  async begin(target: string): Promise<Begun> {
    const end = Date.now() + HOME_MS;
    let seen = await this.look(target);
    while (seen.bmc.power === "On" && !seen.home) {
      if (Date.now() > end) throw new Error(`${target}'s own system did not answer within ${HOME_MS / 1000} s.`);
      await sleep(LOOK_AGAIN_MS);
      seen = await this.look(target);
    }
    return { target, at: new Date().toISOString(), seen, logFrom: this.log().length };
  }

  /** One sentence for each thing that is not as it should be; none: the target is home, and everything is accounted for. */
  async complaints(begun: Begun, expected: Expected, most = LOOKS): Promise<string[]> {
    for (let looks = 1; ; looks++) {
      const said = await this.judge(begun, expected).catch((error: unknown) => [messageOf(error)]);
      if (said.length === 0 || looks >= most) return said;
      await sleep(LOOK_AGAIN_MS);
    }
  }

  /** What the lab's log says of the target since `begin`: power events and answers of its BMC. */
  logSince({ target, logFrom }: Begun): string[] {
    const lines = this.log().subarray(logFrom).toString("utf8").split("\n");
    return lines.filter((line) => line.split(" ")[1] === target);
  }

  private async judge(begun: Begun, expected: Expected): Promise<string[]> {
    const { target } = begun;
    await this.putBack(target);
    const now = await this.look(target);
    const records = await this.recordsSince(begun);
    const lines = this.logSince(begun);
    const power = powerLog(lines, expected.strange);
    return [
      ...homeComplaints(begun.seen, now, power.events.filter((event) => event.what === "start").length, expected.boots),
      ...bmcComplaints(begun.seen, now),
      ...recordComplaints(records, expected),
      ...(expected.unrecorded
        ? []
        : powerComplaints(
            begun.seen.bmc.power,
            power,
            records.flatMap((record) => record.powerActions),
          )),
      ...(await this.openComplaints(target)),
    ];
  }

  private async look(target: string): Promise<Seen> {
    const folder = join(this.where.data, "lab", "machines", target);
    const { override, medium, wasOn } = JSON.parse(readFileSync(join(folder, "bmc", "bmc.json"), "utf8"));
    const order = join(folder, "machine", "boot-order.json");
    return {
      home: await askHome((await this.document(target)).home),
      bmc: { override, medium, power: wasOn ? "On" : "Off" },
      bootOrder: existsSync(order) ? readFileSync(order, "utf8") : "as delivered",
    };
  }

  private log(): Buffer {
    const file = join(this.where.data, "lab", "lab.log");
    return existsSync(file) ? readFileSync(file) : Buffer.alloc(0);
  }

  private async document(target: string): Promise<Target> {
    return Target.parse(await this.ask((client) => client.get("targets", target)));
  }

  private async recordsSince({ target, at }: Begun): Promise<SessionRecord[]> {
    const { items } = await this.ask((client) => client.sessions({ target, limit: 1000 }));
    const since = items.filter((item) => item.startedAt >= at);
    return (await Promise.all(since.map(({ session }) => this.ask((client) => client.session(session))))).reverse();
  }

  /** The catalogue lets go of a target's document only when no snapshot of it is open; the document is put back at once. */
  private async openComplaints(target: string): Promise<string[]> {
    const complaints = [];
    if (existsSync(join(this.where.data, "site", "journal", `${target}.json`))) {
      complaints.push(`The site's journal still has an entry for ${target}.`);
    }
    this.out.set(target, await this.ask((client) => client.get("targets", target)));
    try {
      await this.ask((client) => client.delete("targets", target));
    } catch (error) {
      // Gone: it was let go of, and the server died before it could say so.
      const gone = error instanceof PitstopError && error.code === "notFound";
      if (!gone) complaints.push(`The catalogue does not let go of ${target}: ${messageOf(error)}`);
    }
    await this.putBack(target);
    return complaints;
  }

  private async putBack(target: string): Promise<void> {
    const document = this.out.get(target);
    if (document === undefined) return;
    await this.ask((client) => client.applyYaml(JSON.stringify(document), "the judge's"));
    this.out.delete(target);
  }

  /** The server may have been killed for other cases: no answer says nothing of this one. */
  private async ask<T>(work: (client: PitstopClient) => Promise<T>): Promise<T> {
    return await outlast(
      (error) => error instanceof ServerUnreachable,
      () => work(this.where.client),
    );
  }
}

async function askHome(checks: Target["home"]): Promise<Home | null> {
  const [check] = checks;
  const url = check && "http" in check ? check.http.url : "";
  const answer = await fetch(url, { signal: AbortSignal.timeout(5_000) }).catch(() => null);
  return answer?.ok ? ((await answer.json()) as Home) : null;
}

function homeComplaints(before: Seen, now: Seen, starts: number, boots: Expected["boots"]): string[] {
  if (before.bmc.power === "Off") return now.home ? ["The target was off, and its own system runs now."] : [];
  if (!before.home) return ["The target's own system did not answer before: that tells nothing now."];
  if (!now.home) return ["The target's own system does not answer."];
  const complaints = [];
  if (now.home.machineId !== before.home.machineId) complaints.push("Another machine answers as the target.");
  if (now.home.userFileSha256 !== before.home.userFileSha256) complaints.push("The user's file has changed.");
  const booted = now.home.bootCount - before.home.bootCount;
  if (boots && (booted < boots[0] || booted > boots[1])) {
    complaints.push(`Its own system started ${booted} times, not ${boots.join(" to ")}.`);
  }
  const [least, most] = starts === 0 ? [0, 0] : [1, starts];
  if (booted < least || booted > most) {
    complaints.push(`Its own system started ${booted} times in ${starts} power-ons.`);
  }
  return complaints;
}

function bmcComplaints(before: Seen, now: Seen): string[] {
  const differs = (what: string, a: unknown, b: unknown) =>
    JSON.stringify(a) === JSON.stringify(b) ? [] : [`${what} was ${JSON.stringify(a)} and is ${JSON.stringify(b)}.`];
  return [
    ...differs("The override", before.bmc.override, now.bmc.override),
    ...differs("The medium", before.bmc.medium, now.bmc.medium),
    ...differs("The power", before.bmc.power, now.bmc.power),
    ...differs("The boot order", before.bootOrder, now.bootOrder),
  ];
}

function recordComplaints(records: SessionRecord[], expected: Expected): string[] {
  const complaints = [];
  const ids = records.map((record) => record.session);
  for (const session of expected.sessions) {
    const count = ids.filter((id) => id === session).length;
    if (count !== 1) complaints.push(`The session ${session} has ${count} records.`);
  }
  const lost = expected.lost ?? [];
  const strangers = ids.filter((id) => !expected.sessions.includes(id) && !lost.includes(id));
  if (strangers.length > 0) complaints.push(`Nobody asked for the sessions ${strangers.join(", ")}.`);
  for (const { session, ending, endedAt, untouched, home, restore, stranded, powerActions } of records) {
    if (lost.includes(session)) continue;
    const say = (what: string) => complaints.push(`The record of ${session} ${what}`);
    if (ending !== "restored" || endedAt === null) {
      say(`has the ending ${ending ?? "none"}${stranded ? `: ${stranded.message}` : "."}`);
    } else if (!untouched && !home.proved) say("says restored without a proof of home.");
    if (untouched && powerActions.length > 0) say("says untouched and has power actions.");
    if (restore.differences.length + restore.added.length > 0) say(`has differences: ${JSON.stringify(restore)}`);
  }
  const outcome = records.at(-1)?.outcome;
  if (expected.outcome !== undefined && outcome !== expected.outcome) {
    complaints.push(`The work ${outcome}, and should have ${expected.outcome}: ${records.at(-1)?.failure?.message}`);
  }
  return complaints;
}
