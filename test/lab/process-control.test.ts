import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MockActivityEnvironment } from "@temporalio/testing";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { SiteActivities } from "../../activities/contract.js";
import { Controls } from "../../activities/controls.js";
import { siteActivities } from "../../activities/site.js";
import {
  captureBootState,
  compareBootStates,
  refuseUnreadable,
  restoreBootState,
} from "../../src/control/boot-state.js";
import { askHome } from "../../src/control/home.js";
import { coldBoot, transitionOf } from "../../src/control/transitions.js";
import { Target } from "../../src/domain/target.js";
import { Downloader } from "../../src/lab/process/download.js";
import { HomeServer } from "../../src/lab/process/home-server.js";
import { ProcessMachine } from "../../src/lab/process/machine.js";
import { armNextBoot } from "../../src/ways/network-first.js";
import { firstWay, MAC, planOf, sites, UUID } from "../boot/help.js";
import { failure } from "../control/help.js";
import { processControl } from "./process-control.js";

/** A second control beside Redfish: nothing above a control knows which of the two it has. */

const newSite = sites();
let dir: string;
let home: HomeServer;
let machine: ProcessMachine;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "pitstop-process-"));
  home = await HomeServer.listen("127.0.0.1");
});
afterEach(async () => {
  await machine.dispose();
  await home.close();
  await rm(dir, { recursive: true, force: true });
});

/** A machine that asks the network first, on. */
async function started(siteUrl: string | null) {
  machine = await ProcessMachine.create({
    ...{ name: "p1", uuid: UUID, macs: [MAC], firmware: "bios", dir, home, downloader: new Downloader(null) },
    siteUrl,
    timing: { firmwareMs: 5, systemMs: 5, kernelMs: 5, shutdownMs: 5 },
  });
  const options = await machine.bootOptions();
  const isNetwork = (reference: string) =>
    /net|pxe/i.test(options.find((o) => o.reference === reference)?.displayName ?? "");
  const order = await machine.bootOrder();
  await machine.setBootOrder([...order.filter(isNetwork), ...order.filter((one) => !isNetwork(one))]);
  await machine.start({ from: "disk" });
  await expect.poll(() => machine.bootProgress()).toBe("OSRunning");
}

const targetOf = (allow: string[]): Target => {
  const plan = planOf();
  return Target.parse({
    ...plan.target,
    boot: { ...plan.target.boot, allow },
    home: [{ http: { url: machine.homeUrl } }],
  });
};

const GRACEFUL = { mode: "graceful", gracefulMs: 10_000, then: "abort" } as const;

describe("a control that has the power alone", () => {
  it("tells what it does not have as absent, and compares, restores and boots all the same", async () => {
    await started(null);
    const target = targetOf(["network-first-order"]);
    const can = await processControl(machine, target).prove();
    const before = await captureBootState(can);
    const absent = { absent: true };
    expect(before).toMatchObject({
      control: "process",
      power: "On",
      override: absent,
      bootOrder: absent,
      media: absent,
    });
    refuseUnreadable(target.name, before);
    expect(transitionOf(can)).toBe("cold");
    const arm = () => armNextBoot(can, target, { via: "pxe" });
    const { actions } = await coldBoot(can, GRACEFUL, arm, { why: "test" });
    expect(actions.map(({ what, result }) => [what, result])).toEqual([
      ["GracefulShutdown", "done"],
      ["On", "done"],
    ]);
    expect(await restoreBootState(can, before, true)).toEqual([]);
    expect(compareBootStates(can, before, await captureBootState(can))).toEqual({ differences: [], added: [] });
    await machine.kill();
    const { differences } = compareBootStates(can, before, await captureBootState(can));
    expect(differences).toEqual([{ field: "power", before: "On", after: "Off" }]);
    expect(await can.console?.tail(100_000)).toContain("disk");
  });

  it("is not armed without its owner's leave, and stays where it is", async () => {
    await started(null);
    const can = await processControl(machine, targetOf([])).prove();
    const error = await failure(armNextBoot(can, targetOf([]), { via: "pxe" }));
    expect(error.message).toContain("network-first-order");
    expect(machine.isOn()).toBe(true);
  });

  it("goes to the image and home again by the same activities as a BMC, with the boot server as the gate", async () => {
    const listen = { host: "127.0.0.1", port: 0 };
    const site = await newSite({ config: { PITSTOP_SITE_LISTEN: listen, PITSTOP_SITE_TLS_LISTEN: listen } });
    const { http, tls } = site.running.ports;
    await site.stop();
    site.options.config = {
      PITSTOP_SITE_LISTEN: { host: "127.0.0.1", port: http },
      PITSTOP_SITE_TLS_LISTEN: { host: "127.0.0.1", port: tls },
      PITSTOP_SITE_URL: `http://127.0.0.1:${http}`,
      PITSTOP_SITE_TLS_URL: `https://127.0.0.1:${tls}`,
    };
    await site.start();
    await started(`http://127.0.0.1:${http}`);
    const plan = { ...planOf({ homeMs: 20_000 }), target: targetOf(["network-first-order"]) };
    const activities = siteActivities({
      site: site.site,
      objects: site.objects,
      controls: new Controls(async (target) => processControl(machine, target)),
      askHome,
    });
    const run = async <K extends keyof SiteActivities>(
      name: K,
      input: Parameters<SiteActivities[K]>[0],
    ): Promise<Awaited<ReturnType<SiteActivities[K]>>> =>
      (await new MockActivityEnvironment().run(activities[name] as never, input as never)) as never;

    const { snapshot } = await run("captureSnapshot", { plan });
    await run("stageImage", { plan, way: firstWay(plan) });
    expect(await run("armTarget", { plan, epoch: 1, way: firstWay(plan), wasOff: false })).toMatchObject({
      wrote: false,
      notes: [expect.stringContaining("boot server alone")],
    });
    await run("ensureOff", { plan, running: "home", unseenMs: null, why: "to the image" });
    await run("ensureOn", { plan, epoch: 1, way: firstWay(plan), wasOff: false, why: "to the image" });
    await expect.poll(() => site.link.hellos.length, { timeout: 15_000 }).toBe(1);
    await run("ensureOff", { plan, running: "image", unseenMs: null, why: "leave the image" });
    await run("restoreBoot", { plan, snapshot, armUnsure: true });
    await run("ensureOn", { plan, epoch: null, way: null, wasOff: false, why: "go home" });
    const { verdict } = await run("verifyHome", { plan, snapshot, rebooted: true, watchLateOffMs: 0 });
    expect(verdict).toMatchObject({ proved: true, strength: "strong", differences: [] });
  }, 60_000);
});
