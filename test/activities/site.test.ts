import { readFileSync } from "node:fs";
import { join } from "node:path";
import { MockActivityEnvironment } from "@temporalio/testing";
import { describe, expect, it, vi } from "vitest";
import type { SiteActivities } from "../../activities/contract.js";
import { Controls } from "../../activities/controls.js";
import { siteActivities } from "../../activities/site.js";
import type { Capabilities, ResetKind, Section, TargetControl } from "../../src/control/control.js";
import { PitstopError } from "../../src/domain/errors.js";
import { ABSENT } from "../../src/domain/reading.js";
import type { PlannedWay, SitePlan } from "../../src/domain/session.js";
import type { BootSnapshot, BootState, HomeAnswer, PowerState } from "../../src/domain/snapshot.js";
import { watchHomes } from "../../src/site/home-watch.js";
import { firstWay, MAC, OTHER_BOOT_ID, PXE, planOf, sites, type TestSite, UUID } from "../boot/help.js";

const newSite = sites();
const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const SILENT: HomeAnswer = {
  check: "tcp 127.0.0.1:1",
  answered: false,
  machineId: null,
  bootId: null,
  hostKey: null,
  facts: {},
  reason: "nobody",
};
/** A port that accepts. */
const WEAK: HomeAnswer = { ...SILENT, answered: true, reason: null };
const strong = (bootId: string): HomeAnswer => ({ ...WEAK, machineId: "m", bootId });

const refused = () => new PitstopError("refused", "The machine will not.");

/** A target of which the power matters, whose own system answers what the test says, and a site before it. */
class Rig {
  power: PowerState = "On";
  /** What the next readings of the power say, whatever it is. */
  readonly lies: PowerState[] = [];
  home: HomeAnswer = SILENT;
  homeAfterOn: HomeAnswer | null = null;
  state: BootState | null = null;
  readonly asked: string[] = [];
  /** Methods of the control that refuse. */
  readonly refuses = new Set<string>();
  /** Whether a refusal had written something before. */
  writesOnRefusal = true;
  /** Whether the slot checks the certificate of the server that its medium is from, and whether it was asked to. */
  verified = true;
  verify: boolean | null = null;
  isAway = false;
  private writes = 0;

  constructor(readonly site: TestSite) {}

  answers(home: HomeAnswer): void {
    this.home = home;
  }

  private does(name: string): Promise<string[]> {
    this.asked.push(name);
    if (this.writesOnRefusal || !this.refuses.has(name)) this.writes++;
    return this.refuses.has(name) ? Promise.reject(refused()) : Promise.resolve([]);
  }

  /** A section that reads what `state` says. */
  private section<K extends "override" | "bootOrder" | "media" | "secureBoot">(name: K) {
    return {
      read: async () => this.state?.[name] ?? ABSENT,
      compare: () => ({ differences: [], added: [] }),
      pending: () => null,
    } as never as Section<never>;
  }

  private readonly can: Capabilities = {
    identity: { serviceUuid: null, systemUuid: null, system: "1", manufacturer: null, model: null, macs: [] },
    kind: "redfish",
    power: {
      read: async () => this.lies.shift() ?? this.power,
      compare: (before, after) => ({
        differences: before === after ? [] : [{ field: "power", before, after }],
        added: [],
      }),
      pending: () => null,
      progress: async () => ABSENT,
      reset: async (kind: ResetKind) => {
        this.power = kind === "On" ? "On" : "Off";
        this.asked.push(kind);
        if (kind === "On" && this.homeAfterOn) this.home = this.homeAfterOn;
      },
    },
    nextBoot: {
      ...this.section("override"),
      arm: async () => {
        await this.does("arm");
        return { override: { enabled: "Once", target: "Pxe", mode: null, httpBootUri: null }, notes: [] };
      },
      restore: () => this.does("restoreOverride"),
    },
    bootOrder: {
      ...this.section("bootOrder"),
      restore: () => this.does("restoreBootOrder"),
      asksNetworkFirst: async () => true,
    },
    media: {
      ...this.section("media"),
      restore: async () => void (await this.does("restoreMedia")),
      insert: async (url, options) => {
        this.verify = options?.verify ?? false;
        await this.does("insertMedia");
        return { slot: "Cd", inserted: true, image: url, verified: this.verified };
      },
    },
    secureBoot: this.section("secureBoot"),
    console: null,
  };

  private readonly control: TargetControl = {
    prove: async () => {
      if (this.isAway) throw new PitstopError("unreachable", "The BMC does not answer.");
      return this.can;
    },
    usage: () => ({ total: 0, powerPolls: 0, writes: this.writes }),
    close: async () => undefined,
  };

  async run<K extends keyof SiteActivities>(
    name: K,
    input: Parameters<SiteActivities[K]>[0],
  ): Promise<Awaited<ReturnType<SiteActivities[K]>>> {
    const activities = siteActivities({
      site: this.site.site,
      objects: this.site.objects,
      controls: new Controls(async () => this.control),
      askHome: async () => this.home,
    });
    const run = activities[name] as (of: typeof input) => Promise<unknown>;
    const result: unknown = await new MockActivityEnvironment().run(run as never, input as never);
    return result as Awaited<ReturnType<SiteActivities[K]>>;
  }
}

const snapshotOf = (plan: SitePlan, home: HomeAnswer[], session = plan.session): BootSnapshot => ({
  target: plan.target.name,
  session,
  takenAt: new Date().toISOString(),
  identity: { serviceUuid: null, systemUuid: null, system: "1", manufacturer: null, model: null, macs: [] },
  state: {
    readAt: new Date().toISOString(),
    control: "redfish",
    power: "On",
    override: { enabled: "Disabled", target: null, mode: null, httpBootUri: null },
    bootOrder: [],
    media: [],
    secureBoot: { absent: true },
  },
  home,
});

/** A target whose image has said hello, with an agent that does not come again. */
async function inImage(before: HomeAnswer = WEAK, more: Parameters<typeof planOf>[0] = {}) {
  const site = await newSite();
  const plan = planOf(more);
  await site.token(plan);
  await site.site.keepSnapshot(plan.target.name, plan.session, snapshotOf(plan, [before]));
  const rig = new Rig(site);
  return { site, plan, rig, snapshot: snapshotOf(plan, [before]) };
}

// These wait: side by side.
describe.concurrent("leaving the image", { timeout: 60_000 }, () => {
  const leave = (rig: Rig, plan: SitePlan) =>
    rig.run("ensureOff", { plan, running: "image", unseenMs: null, why: "test" });

  it("pulls the plug on an image that is mute for as long as its own system may take to come up", async () => {
    const { rig, plan } = await inImage(WEAK, { homeMs: 4_000 });
    const startedAt = performance.now();
    expect(await leave(rig, plan)).toMatchObject({ off: true });
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(4_000);
    expect(rig.asked).toEqual(["ForceOff"]);
  });

  it("leaves alone what it found mute when its own system comes up: the image was reset", async () => {
    const { rig, plan } = await inImage(strong("a"), { homeMs: 30_000 });
    setTimeout(() => rig.answers(strong("b")), 3_000);
    expect(await leave(rig, plan)).toMatchObject({ off: false, mute: false });
    expect(rig.asked).toEqual([]);
  });

  it("leaves to the session what was mute until its lease ended, and pulls the plug when that has waited", async () => {
    // A busy machine needs seconds from the hello to the first look, which must find the lease unbroken.
    const { site, rig, plan } = await inImage(WEAK, { leaseMs: 8_000, homeMs: 12_000 });
    site.link.alive = false;
    expect(await leave(rig, plan)).toMatchObject({ off: false, mute: true });
    const again = (unseenMs: number) => rig.run("ensureOff", { plan, running: "image", unseenMs, why: "test" });
    // By the session's count it is late, by the end of the lease it is not: the image may only just have gone home.
    expect(await again(13_000)).toMatchObject({ off: false });
    await later(12_000);
    expect(await again(13_000)).toMatchObject({ off: true });
    expect(rig.asked).toEqual(["ForceOff"]);
  });

  it("leaves alone an own system that came up after the image took the word to turn off", async () => {
    const { rig, plan, site } = await inImage(strong("a"));
    vi.spyOn(site.site, "finish").mockResolvedValue(true);
    setTimeout(() => rig.answers(strong("b")), 500);
    expect(await leave(rig, plan)).toMatchObject({ off: false });
    expect(rig.asked).toEqual([]);
  });

  it("pulls the plug on an image that took the word to turn off and does not", async () => {
    const { rig, plan, site } = await inImage(strong("a"), { homeMs: 4_000 });
    vi.spyOn(site.site, "finish").mockResolvedValue(true);
    expect(await leave(rig, plan)).toMatchObject({ off: true });
    expect(rig.asked).toEqual(["ForceOff"]);
  });

  it("pulls no plug on what never spoke, where its own system answered nobody before either", async () => {
    const site = await newSite();
    const rig = new Rig(site);
    const plan = planOf({ homeMs: 2_000 });
    await site.publish(plan);
    expect(await leave(rig, plan)).toMatchObject({ off: false, mute: true });
    expect(rig.asked).toEqual([]);
  });

  it.each([
    ["its own system answers", async (rig: Rig) => rig.answers(strong("b"))],
    ["something answers at its own system's port", async (rig: Rig) => rig.answers(WEAK)],
    [
      "its boot was revoked",
      async (rig: Rig) => {
        const nonce = rig.site.site.entry("r1-n07")?.boot?.spentNonce ?? "";
        expect((await rig.site.hello(nonce, { bootId: OTHER_BOOT_ID })).status).toBe(410);
      },
    ],
    ["the boot is not known any more", async (rig: Rig) => await rig.site.site.withdraw("r1-n07", planOf().session)],
  ])("leaves a target alone whose agent is silent and %s", async (_, happens) => {
    const { rig, plan } = await inImage();
    await happens(rig);
    expect(await leave(rig, plan)).toMatchObject({ off: false, powerActions: [] });
    expect(rig.asked).toEqual([]);
  });

  it("leaves a target alone whose lease is over: its image has gone home by itself", async () => {
    const { site, rig, plan } = await inImage(WEAK, { leaseMs: 1_000 });
    site.link.alive = false;
    await later(1_100);
    expect(await leave(rig, plan)).toMatchObject({ off: false });
    expect(rig.asked).toEqual([]);
  });
});

describe.concurrent("the proof of home", () => {
  it("powers a target on again that lost its power on its way up, and tells so", { timeout: 60_000 }, async () => {
    const site = await newSite();
    const plan = planOf();
    await site.publish(plan);
    const snapshot = snapshotOf(plan, [strong("before")]);
    await site.site.keepSnapshot(plan.target.name, plan.session, snapshot);
    const rig = new Rig(site);
    Object.assign(rig, { power: "Off", state: snapshot.state, homeAfterOn: strong("after") });
    const proof = await rig.run("verifyHome", { plan, snapshot, rebooted: true, watchLateOffMs: 0 });
    expect(proof.verdict).toMatchObject({ proved: true, strength: "strong" });
    expect(proof.powerActions).toMatchObject([{ what: "On", why: "it lost its power on its way home" }]);
    expect(rig.asked).toEqual(["On"]);
  });

  it("goes on watching for a late power-off when one reading said that it is off", async () => {
    const site = await newSite();
    const plan = planOf();
    await site.publish(plan);
    const snapshot = snapshotOf(plan, [strong("before")]);
    await site.site.keepSnapshot(plan.target.name, plan.session, snapshot);
    const rig = new Rig(site);
    Object.assign(rig, { state: snapshot.state, home: strong("before"), homeAfterOn: strong("after") });
    rig.lies.push("Off");
    setTimeout(() => Object.assign(rig, { power: "Off", home: SILENT }), 1_000);
    const proof = await rig.run("verifyHome", { plan, snapshot, rebooted: null, watchLateOffMs: 10_000 });
    expect(proof.verdict).toMatchObject({ proved: true, strength: "strong", checks: [strong("after")] });
    expect(rig.asked).toEqual(["On"]);
  });

  it("of a target that was off waits until its own system says nothing, whatever its BMC says", async () => {
    const site = await newSite();
    const plan = planOf();
    await site.publish(plan);
    const taken = snapshotOf(plan, []);
    const snapshot = { ...taken, state: { ...taken.state, power: "Off" as const } };
    await site.site.keepSnapshot(plan.target.name, plan.session, snapshot);
    const rig = new Rig(site);
    Object.assign(rig, { power: "Off", state: snapshot.state, home: strong("still here") });
    setTimeout(() => rig.answers(SILENT), 500);
    const proof = await rig.run("verifyHome", { plan, snapshot, rebooted: null, watchLateOffMs: 0 });
    expect(proof.verdict).toMatchObject({ proved: true, strength: "off", reason: null, checks: [SILENT] });
    expect(proof.waitedMs).toBeGreaterThanOrEqual(500);
    rig.answers(strong("up again"));
    rig.power = "On";
    const other = await rig.run("verifyHome", { plan, snapshot, rebooted: null, watchLateOffMs: 0 });
    expect(other.verdict.differences).toMatchObject([{ field: "power" }]);
  });
});

describe("leaving a boot of which nothing was heard", () => {
  /** Armed and powered on. */
  async function armed(home: HomeAnswer[], fetched = false) {
    const site = await newSite();
    const plan = planOf();
    await site.publish(plan);
    await site.site.keepSnapshot(plan.target.name, plan.session, snapshotOf(plan, home));
    const boot = site.site.entry(plan.target.name)?.boot;
    if (boot && fetched) boot.initrdFetchedAt = new Date().toISOString();
    return { rig: new Rig(site), plan };
  }
  const leave = (rig: Rig, plan: SitePlan, unseenMs: number) =>
    rig.run("ensureOff", { plan, running: "image", unseenMs, why: "test" });

  it("leaves it alone while its own system may be on the way up", async () => {
    const { rig, plan } = await armed([strong("a")]);
    expect(await leave(rig, plan, 0)).toMatchObject({ off: false, powerActions: [] });
    expect(rig.asked).toEqual([]);
  });

  it("does not ask its own clock how long that is: one that is ahead of the session's says nothing", async () => {
    const { rig, plan } = await armed([strong("a")]);
    const ahead = vi.spyOn(Date, "now").mockReturnValue(Date.now() + plan.limits.homeMs + 60_000);
    try {
      expect(await leave(rig, plan, 1_000)).toMatchObject({ off: false, powerActions: [] });
    } finally {
      ahead.mockRestore();
    }
  });

  it("pulls the plug when its own system would have answered long ago", async () => {
    const { rig, plan } = await armed([strong("a")]);
    expect(await leave(rig, plan, plan.limits.homeMs + 1_000)).toMatchObject({ off: true });
    expect(rig.asked).toEqual(["ForceOff"]);
  });

  it("never pulls the plug on what did not answer before departure either: its silence says nothing", async () => {
    const { rig, plan } = await armed([{ ...WEAK, answered: false }]);
    expect(await leave(rig, plan, plan.limits.homeMs + 1_000)).toMatchObject({ off: false });
  });

  it("is no surer of an image that was fetched to its end: it may have been reset since, and a medium read by anybody", async () => {
    const { rig, plan } = await armed([strong("a")], true);
    expect(await leave(rig, plan, 1_000)).toMatchObject({ off: false });
    expect(await leave(rig, plan, plan.limits.homeMs + 1_000)).toMatchObject({ off: true });
  });

  it("knows what it waits for after the boot was withdrawn, too", async () => {
    const { rig, plan } = await armed([strong("a")]);
    await rig.site.site.withdraw(plan.target.name, plan.session);
    expect(await leave(rig, plan, 0)).toMatchObject({ off: false });
    expect(await leave(rig, plan, plan.limits.homeMs + 1_000)).toMatchObject({ off: true });
  });
});

describe("a lost session's snapshot that only the plan has", () => {
  it("is in the site's journal before the target is written to", async () => {
    const site = await newSite();
    const plan = planOf();
    const adopted = snapshotOf(plan, [strong("before")], "lost");
    const rig = new Rig(site);
    await rig.run("ensureOn", { plan: { ...plan, adopted }, epoch: null, way: null, wasOff: false, why: "test" });
    expect(site.site.entry(plan.target.name)).toMatchObject({ session: plan.session, snapshot: { session: "lost" } });
  });
});

describe("where a target is", () => {
  it("a port that accepts is no word against an agent's hello; the same machine's own word is", async () => {
    const { rig, plan, snapshot } = await inImage(strong("a"));
    rig.home = { ...WEAK, check: "another" };
    expect(await rig.run("locateTarget", { plan, snapshot })).toMatchObject({ where: "image" });
    rig.home = strong("b");
    expect(await rig.run("locateTarget", { plan, snapshot })).toMatchObject({ where: "home" });
    rig.power = "Off";
    expect(await rig.run("locateTarget", { plan, snapshot })).toMatchObject({ where: "off" });
  });
});

describe("the capture", () => {
  it("of a target that is said to be on, and of which nothing is heard, waits until two readings agree", async () => {
    const site = await newSite();
    const rig = new Rig(site);
    const plan = planOf();
    rig.state = snapshotOf(plan, []).state;
    rig.power = "Off";
    rig.lies.push("On");
    await expect(rig.run("captureSnapshot", { plan })).rejects.toMatchObject({
      code: "unreachable",
      message: expect.stringContaining("said that it is on, and then that it is off"),
    });
    rig.power = "On";
    const { snapshot } = await rig.run("captureSnapshot", { plan });
    expect(snapshot.state.power).toBe("On");
  });
});

describe("the capture of a target that is said to be off", () => {
  const captured = async (home: HomeAnswer, power: PowerState) => {
    const rig = new Rig(await newSite());
    const plan = planOf();
    const { state } = snapshotOf(plan, []);
    Object.assign(rig, { state, power, home });
    rig.lies.push("Off");
    return await rig.run("captureSnapshot", { plan });
  };

  it("is refused while its own system answers, or a second reading says otherwise", async () => {
    await expect(captured(strong("a"), "Off")).rejects.toMatchObject({
      code: "unreachable",
      message: expect.stringContaining("says that it is off, and tcp 127.0.0.1:1 answers"),
    });
    await expect(captured(SILENT, "On")).rejects.toMatchObject({ code: "unreachable" });
    expect((await captured(SILENT, "Off")).snapshot).toMatchObject({ state: { power: "Off" }, home: [] });
  });
});

describe("a task that was supplied", () => {
  it("is not destructive where its action is not: boot path and owner were not asked for that", async () => {
    const { rig, plan } = await inImage();
    const task = { id: "s1", name: "wipe", scriptSha256: "", timeoutMs: 1, destructive: true, devices: ["/dev/sda"] };
    await expect(rig.run("offerTask", { plan, task })).rejects.toMatchObject({ code: "refused" });
  });
});

describe("what a lost session saw", () => {
  it("is not what a session saw that went through its own end while the site was away", async () => {
    const site = await newSite();
    const rig = new Rig(site);
    const old = planOf({ session: "old" });
    await site.site.open(old, "old");
    await site.site.keepSnapshot("r1-n07", "old", snapshotOf(old, [WEAK]));
    site.link.ended.add("old");
    site.link.over.add("old");
    const plan = planOf();
    Object.assign(rig, { state: snapshotOf(plan, []).state, home: WEAK });
    expect((await rig.run("captureSnapshot", { plan })).snapshot.session).toBe(plan.session);
  });

  it("is home without a look, outlives a session that ends untouched, and goes with one that came home", async () => {
    const site = await newSite();
    const rig = new Rig(site);
    const lost = planOf({ session: "lost" });
    await site.site.open(lost, lost.session);
    await site.site.keepSnapshot("r1-n07", "lost", snapshotOf(lost, [WEAK]));
    site.link.ended.add("lost");

    for (const session of ["second", "third"]) {
      const plan = planOf({ session });
      const { snapshot } = await rig.run("captureSnapshot", { plan });
      expect(snapshot.session).toBe("lost");
      await rig.run("closeSite", { plan, untouched: true });
      if (session === "second") site.link.ended.add(session);
    }
    expect(rig.asked).toEqual([]);
    expect(site.site.entry("r1-n07")?.snapshot?.session).toBe("lost");
    await rig.run("closeSite", { plan: planOf({ session: "third" }), untouched: false });
    expect(site.site.entry("r1-n07")).toBe(null);
  });

  it("is not touched by a late attempt of a session that has ended, and nothing is opened for one", async () => {
    const { site, rig, plan, snapshot } = await inImage();
    await rig.run("closeSite", { plan, untouched: false });
    site.link.ended.add(plan.session);
    const late = { plan, epoch: null, way: null, wasOff: false, why: "late" };
    await expect(rig.run("ensureOn", late)).rejects.toMatchObject({ code: "conflict" });
    await expect(rig.run("restoreBoot", { plan, snapshot })).rejects.toThrow("has ended; nothing more is done for it");
    await expect(rig.run("captureSnapshot", { plan })).rejects.toMatchObject({ code: "conflict" });
    expect(rig.asked).toEqual([]);
    expect(site.site.entry("r1-n07")).toBe(null);
  });

  it("tells what a lost attempt did to the power, and what a lost session did before it", async () => {
    const { site, rig, plan, snapshot } = await inImage(WEAK, { homeMs: 2_000 });
    const off = () => rig.run("ensureOff", { plan, running: "image", unseenMs: null, why: "leave the image" });
    rig.answers(SILENT);
    await off();
    await rig.run("ensureOn", { plan, epoch: null, way: null, wasOff: false, why: "go home" });
    // The completions of both are lost, and the session with them.
    await site.restart();
    site.link.ended.add(plan.session);
    const next = planOf({ session: "next" });
    await rig.run("captureSnapshot", { plan: next });
    const { powerActions } = await rig.run("restoreBoot", { plan: next, snapshot });
    expect(powerActions).toMatchObject([
      { what: "ForceOff", why: "leave the image" },
      { what: expect.stringMatching(/^On/), why: "go home" },
    ]);
    expect(await rig.run("closeSite", { plan: next, untouched: false })).toMatchObject({ powerActions });
  });

  it("a session's own snapshot goes with it though it ends untouched", async () => {
    const { site, rig, plan } = await inImage();
    await rig.run("closeSite", { plan, untouched: true });
    expect(site.site.entry("r1-n07")).toBe(null);
  });
});

describe("an arming", () => {
  const destructive = (plan: SitePlan): SitePlan => ({
    ...plan,
    action: plan.action && { ...plan.action, destructive: true },
  });

  it("tells whether it wrote anything, and by what grade the medium is trusted", async () => {
    const { rig, plan } = await inImage();
    expect(await rig.run("armTarget", { plan, epoch: 2, way: firstWay(plan), wasOff: false })).toMatchObject({
      wrote: true,
      grade: "lan",
    });
  });

  it("that failed tells that too, and before anything else what it could not write", async () => {
    const { rig, plan } = await inImage();
    rig.refuses.add("arm");
    rig.writesOnRefusal = false;
    await expect(rig.run("armTarget", { plan, epoch: 2, way: firstWay(plan), wasOff: false })).rejects.toMatchObject({
      code: "refused",
      facts: { wrote: false },
    });
    rig.writesOnRefusal = true;
    await expect(rig.run("armTarget", { plan, epoch: 3, way: firstWay(plan), wasOff: false })).rejects.toMatchObject({
      facts: { wrote: true },
    });
  });

  it("counts as lan where the BMC does not verify where its medium is from, and a destructive one asks it to", async () => {
    const { rig, plan: byNetwork } = await inImage();
    const way = { via: "virtual-media", grade: "sealed" } as const;
    const plan: SitePlan = { ...byNetwork, ways: [way] };
    rig.verified = false;
    const media = { mediaUrl: "https://site/m.iso", httpBootUri: "" };
    vi.spyOn(rig.site.site, "publish").mockResolvedValue(media as never);
    expect(await rig.run("armTarget", { plan, epoch: 2, way: firstWay(plan), wasOff: false })).toMatchObject({
      grade: "lan",
      notes: [expect.stringContaining("counts as lan")],
    });
    expect(rig.verify).toBe(false);
    rig.verified = true;
    const sealed = await rig.run("armTarget", { plan: destructive(plan), epoch: 3, way, wasOff: false });
    expect(sealed).toMatchObject({ grade: "sealed", notes: [] });
    expect(rig.verify).toBe(true);
  });
});

describe("the arming of a second way", () => {
  const media = { via: "virtual-media", grade: "sealed" } as const;
  const bootOf = (site: TestSite) => site.site.entry("r1-n07")?.boot;
  /** A target that is off, in a session with these ways. */
  async function armedBy(ways: PlannedWay[]) {
    const { site, rig, plan: byNetwork } = await inImage();
    const plan: SitePlan = { ...byNetwork, ways };
    await site.site.renew({ ...plan, now: { ...plan.now, moved: 1 } });
    rig.power = "Off";
    return { site, rig, plan };
  }

  it("publishes what that way serves under its own number, and voids what the first way served", async () => {
    const { site, rig, plan } = await armedBy([PXE, media]);
    const before = bootOf(site)?.mediaSegment;
    await rig.run("stageImage", { plan, way: media });
    await rig.run("armTarget", { plan, epoch: 2, way: media, wasOff: false });
    expect(bootOf(site)).toMatchObject({ epoch: 2, way: media, medium: { archive: expect.any(String) } });
    expect(bootOf(site)?.mediaSegment).not.toBe(before);
    expect(rig.asked).toEqual(["insertMedia", "arm"]);
    expect((await site.get(`/boot.ipxe?platform=pcbios&mac=${MAC}&uuid=${UUID}`)).text).not.toContain("kernel");
  });

  it("takes out the medium that the first way left, while the target is off", async () => {
    const { site, rig, plan } = await armedBy([media, PXE]);
    await rig.run("armTarget", { plan, epoch: 2, way: PXE, wasOff: false });
    expect(rig.asked).toEqual(["arm"]);
    await rig.run("ensureOn", { plan, epoch: 2, way: PXE, wasOff: false, why: "test" });
    expect(rig.asked).toEqual(["arm", "restoreMedia", "arm", "On"]);
    expect(bootOf(site)).toMatchObject({ epoch: 2, way: PXE, medium: null });
  });

  it("is diagnosed by what that way showed", async () => {
    const { rig, plan } = await armedBy([PXE, media]);
    rig.power = "On";
    const { diagnosis } = await rig.run("diagnoseBoot", { plan, way: media });
    expect(diagnosis).toMatchObject({ via: "virtual-media", summary: expect.stringContaining("BMC") });
  });
});

describe("a BMC that is away", () => {
  it("does not keep the boot server from serving the way home", async () => {
    const { site, rig, plan, snapshot } = await inImage();
    rig.isAway = true;
    await expect(rig.run("restoreBoot", { plan, snapshot })).rejects.toMatchObject({ code: "unreachable" });
    expect(site.site.entry(plan.target.name)).toMatchObject({ boot: null });
  });
});

describe("a capture", () => {
  it("that cannot read a section ends in one sentence, and keeps nothing", async () => {
    const site = await newSite();
    const rig = new Rig(site);
    const plan = planOf();
    rig.state = { ...snapshotOf(plan, []).state, override: { unreadable: "Boot is 7, not an object" } };
    rig.home = WEAK;
    await expect(rig.run("captureSnapshot", { plan })).rejects.toMatchObject({
      code: "refused",
      message: expect.stringMatching(/boot override of r1-n07 cannot be read \(Boot is 7.*nothing was changed/),
    });
    expect(site.site.entry(plan.target.name)?.snapshot).toBeNull();
    expect(rig.asked).toEqual([]);
  });
});

describe("the boot state", () => {
  it("a drive that does not eject fails the restore, but not before the override is disarmed", async () => {
    const { rig, plan, snapshot } = await inImage();
    rig.refuses.add("restoreMedia");
    await expect(rig.run("restoreBoot", { plan, snapshot })).rejects.toThrow("The machine will not.");
    expect(rig.asked).toEqual(["restoreMedia", "restoreOverride", "restoreBootOrder"]);
  });

  it("an order that cannot be put right is told, and does not keep the target from going home", async () => {
    const { rig, plan, snapshot } = await inImage();
    rig.refuses.add("restoreBootOrder");
    expect(await rig.run("restoreBoot", { plan, snapshot })).toMatchObject({ notes: ["The machine will not."] });
  });

  it("an override that stays is a failure", async () => {
    const { rig, plan, snapshot } = await inImage();
    rig.refuses.add("restoreOverride");
    await expect(rig.run("restoreBoot", { plan, snapshot })).rejects.toThrow("The machine will not.");
  });
});

describe("a target seen in its own system while away", () => {
  it("that had been off is remembered too, unless its image has spoken, and its plug is not pulled when it falls silent", async () => {
    for (const spoke of [false, true]) {
      const site = await newSite();
      const rig = new Rig(site);
      const plan = planOf({ homeMs: 2_000 });
      await (spoke ? site.token(plan) : site.publish(plan));
      const taken = snapshotOf(plan, []);
      const state = { ...taken.state, power: "Off" as const };
      await site.site.keepSnapshot(plan.target.name, plan.session, { ...taken, state });
      const askHome = vi.fn(async () => rig.home);
      const stop = watchHomes({ site: site.site, link: site.link, askHome, log: () => undefined, everyMs: 20 });
      rig.home = WEAK;
      await expect.poll(() => askHome.mock.calls.length).toBeGreaterThan(2);
      stop();
      rig.home = SILENT;
      const off = await rig.run("ensureOff", { plan, running: "image", unseenMs: null, why: "test" });
      expect({ spoke, off: off.off, asked: rig.asked }).toEqual({
        spoke,
        off: spoke,
        asked: spoke ? ["ForceOff"] : [],
      });
      expect(site.link.reboots).toEqual([]);
    }
  });

  it("is told once for each boot of it, and again after a while", async () => {
    const { site, rig } = await inImage(strong("a"));
    const stop = watchHomes({
      site: site.site,
      link: site.link,
      askHome: async () => rig.home,
      log: () => undefined,
      everyMs: 20,
      againMs: 1_000,
    });
    const told = () => site.link.reboots.map((reboot) => reboot.bootId);
    try {
      rig.home = strong("b");
      await expect.poll(told).toEqual(["b"]);
      // Kept as well: a site that dies now must not take it for a mute image.
      expect(JSON.parse(readFileSync(join(site.folder, "site", "journal", "r1-n07.json"), "utf8"))).toMatchObject({
        ledger: { ownSystemSeenAt: expect.any(String) },
      });
      await later(200);
      expect(told()).toEqual(["b"]);
      rig.home = strong("c");
      await expect.poll(told).toEqual(["b", "c"]);
      await expect.poll(told, { timeout: 10_000 }).toEqual(["b", "c", "c"]);
      // At growing distances: a history has its end.
      await later(1_200);
      expect(told()).toEqual(["b", "c", "c"]);
    } finally {
      stop();
    }
  });
});
