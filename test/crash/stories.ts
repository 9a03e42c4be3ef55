import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { CampaignView } from "../../src/api/messages.js";
import type { SessionRecord } from "../../src/domain/record.js";
import type { ProcessFaultsInput } from "../../src/lab/process/faults.js";
import type { Case, Fleet, Heard, OnEffect } from "./fleet.js";
import { CONTROL_ROOMS } from "./points.js";

/** A session that goes well, and what people and machines do in it. */
export interface Story {
  action: { name: string } & Record<string, unknown>;
  outcome: SessionRecord["outcome"];
  faults?: ProcessFaultsInput;
  prepare?(fleet: Fleet, target: string): Promise<void>;
  /** What somebody else does at the target's effects, while the call waits. */
  happens?(fleet: Fleet, target: string, effect: Heard): Promise<void>;
  run?: NonNullable<Case["run"]>;
}

/** What is mute has this long for its own system to come up before it is forced off. */
const limits = { boot: "4s", bootAttempts: 2, work: "5m", lease: "2m", home: "15s" };
const look = { name: "look-long", image: "tiny", mode: "active", tasks: [{ name: "look", script: "echo '{}'" }] };
const mute = { image: "tiny", mode: "active", tasks: [] };
const is = ({ point, when, nth }: Heard, wanted: string): boolean => `${when} ${point} ${nth}` === wanted;

/** Together they reach every activity, and every write to a BMC. What several pass is looked at in the first of them. */
export const STORIES: Record<string, Story> = {
  look: { action: look, outcome: "succeeded" },
  /** It hangs in an image that says nothing, and is forced off. */
  silent: { action: { name: "silent", ...mute, limits }, outcome: "failed", faults: { noFirstContact: true } },
  campaign: {
    action: { name: "cycle", mode: "active" },
    outcome: "succeeded",
    async run(fleet, target) {
      const first = await fleet.start(target, "cycle");
      const id = await startCampaign(fleet, target);
      const { sessions } = await campaignOver(fleet, id);
      await fleet.ended(first);
      return { sessions: [first, ...sessions.map(({ session }) => session)] };
    },
  },
  "abort while armed": {
    action: look,
    outcome: "aborted",
    async happens(fleet, target, effect) {
      if (is(effect, "after activity.armTarget 1")) await fleet.client.abort(target, { by: "a test" });
    },
  },
  "another boot order": {
    action: look,
    outcome: "succeeded",
    /** As the machine has it, but written down, so that it can be told from the one that it gets. */
    async prepare(fleet, target) {
      const file = join(fleet.operations.data, "lab", "machines", target, "machine", "boot-order.json");
      writeFileSync(file, JSON.stringify(await fleet.machine(target).bootOrder()));
    },
    async happens(fleet, target, effect) {
      if (!is(effect, "after activity.ensureOff 1")) return;
      const machine = fleet.machine(target);
      await machine.setBootOrder((await machine.bootOrder()).reverse());
    },
  },
  /** The machine passes the medium over: it goes in and out, and home is reached all the same. */
  medium: {
    action: { name: "medium", ...mute, limits: { ...limits, bootAttempts: 1 } },
    outcome: "failed",
    async prepare(fleet, target) {
      const document = await fleet.client.get("targets", target);
      await fleet.operations.apply({ ...document, boot: { firmware: "bios", via: ["virtual-media"] } });
    },
  },
  /** Its BMC drops every request until the session waits for it. */
  "BMC away": {
    action: look,
    outcome: "succeeded",
    async happens(fleet, target, effect) {
      const { faults } = fleet.lab.target(target).bmc;
      if (is(effect, "before activity.restoreBoot 1")) faults.inject({ fault: "drop" });
      if (is(effect, "before activity.awaitControl 1")) faults.clear();
    },
  },
  "boot settings apart": {
    action: look,
    outcome: "succeeded",
    async prepare(fleet, target) {
      fleet.lab.target(target).bmc.faults.inject({ fault: "settings-object" });
    },
  },
};

/** Over the one target, which it waits for. */
export async function startCampaign(fleet: Fleet, target: string): Promise<string> {
  const request = { targets: [target], action: "cycle", onBusy: "wait" as const, requestedBy: "a test" };
  return (await fleet.client.startCampaign(request)).id;
}

export async function campaignOver(fleet: Fleet, id: string, withinMs = 240_000): Promise<CampaignView> {
  for (const end = Date.now() + withinMs; Date.now() < end; await sleep(250)) {
    const campaign = await fleet.client.campaign(id);
    if (!campaign.running) return campaign;
  }
  throw new Error(`the campaign ${id} has not ended in ${withinMs / 1000} s`);
}

/** The story on a target of its own, where `on` has the last word at each effect. */
export function scene(fleet: Fleet, story: string, name: string, on: OnEffect): Case {
  const { action, faults, prepare, happens, run } = STORIES[story] as Story;
  return {
    name,
    action: action.name,
    ...(faults ? { faults } : {}),
    ...(run ? { run } : {}),
    ...(prepare ? { prepare: (target) => prepare(fleet, target) } : {}),
    async on(effect) {
      if (effect.target !== null) await happens?.(fleet, effect.target, effect);
      await on(effect);
    },
  };
}

/** A point in a story, how often it was passed there. */
export type Passed = Map<string, number>;

/** A write to a BMC in a story: what it is, and the how-manieth request with its point. */
export interface Write {
  story: string;
  point: string;
  nth: number;
  /** The control's method that wrote, the request, and what was asked for: `power.reset: POST ComputerSystem.Reset On`. */
  kind: string;
}

/** Listens to a story that nothing disturbs. */
export class Listener {
  readonly passed: Passed = new Map();
  readonly writes: Write[] = [];
  private method = "a reading";

  constructor(private readonly story: string) {}

  readonly on: OnEffect = ({ point, when, nth, what }) => {
    // Calls of a target's control come one after the other.
    if (CONTROL_ROOMS.some((room) => point.startsWith(`${room}.`)))
      this.method = when === "before" ? point : "a reading";
    if (when !== "after") return;
    this.passed.set(point, nth);
    if (!point.startsWith("bmc.")) return;
    const kind = `${this.method}: ${[point.slice("bmc.".length), what].filter(Boolean).join(" ")}`;
    this.writes.push({ story: this.story, point, nth, kind });
  };
}
