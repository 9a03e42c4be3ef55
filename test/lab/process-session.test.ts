import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Downloader } from "../../src/lab/process/download.js";
import { HomeServer } from "../../src/lab/process/home-server.js";
import { ProcessMachine } from "../../src/lab/process/machine.js";
import { firstWay, MAC, planOf, sites, taskOf, UUID } from "../boot/help.js";

/** A process machine, the real boot server, the real agent gateway and the real agent. */
const newSite = sites();
const IPXE_EFI = "/usr/lib/ipxe/ipxe.efi";
const downloader = new Downloader(null);
let dir: string;
let home: HomeServer;
let machine: ProcessMachine | undefined;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "pitstop-process-"));
  home = await HomeServer.listen("127.0.0.1");
});
afterEach(async () => {
  await machine?.dispose();
  await home.close();
  await rm(dir, { recursive: true, force: true });
});

test.for(["bios", "uefi"] as const)(
  "a %s machine boots the image, works, and turns itself off",
  async (firmware, context) => {
    if (firmware === "uefi" && !existsSync(IPXE_EFI)) context.skip(`${IPXE_EFI} is missing; install the package ipxe`);
    const listen = { host: "127.0.0.1", port: 0 };
    const site = await newSite({ config: { PITSTOP_SITE_LISTEN: listen, PITSTOP_SITE_TLS_LISTEN: listen } });
    const { http, tls } = site.running.ports;
    // The site's own URLs name its host; the lab's machines are on loopback.
    await site.stop();
    site.options.config = {
      PITSTOP_SITE_LISTEN: { host: "127.0.0.1", port: http },
      PITSTOP_SITE_TLS_LISTEN: { host: "127.0.0.1", port: tls },
      PITSTOP_SITE_URL: `http://127.0.0.1:${http}`,
      PITSTOP_SITE_TLS_URL: `https://127.0.0.1:${tls}`,
    };
    await site.start();
    const plan = planOf({ firmware, via: firmware === "uefi" ? "uefi-http" : "pxe" });
    await site.site.open(plan, plan.session);
    await site.site.stage(plan, firstWay(plan), () => {}, AbortSignal.timeout(10_000));
    const { httpBootUri } = await site.site.publish(plan.target.name, plan.session, 1, firstWay(plan), false);
    machine = await ProcessMachine.create({
      ...{ name: "p1", uuid: UUID, macs: [MAC], firmware, dir, home, downloader },
      siteUrl: `http://127.0.0.1:${http}`,
      timing: { firmwareMs: 5, systemMs: 5, kernelMs: 5, shutdownMs: 5 },
    });
    const off = new Promise<void>((resolve) => machine?.once("off", resolve));
    await machine.start(firmware === "uefi" ? { from: "uefi-http", uri: httpBootUri } : { from: "pxe" });
    const task = taskOf("look-1", "echo '{\"n\": 1}'\n");
    const result = await site.site.offer(plan.target.name, plan.session, task, AbortSignal.timeout(15_000));
    expect(result).toMatchObject({ status: "succeeded", exitCode: 0 });
    expect(site.link.hellos[0]).toMatchObject({ uuid: UUID, macs: [MAC], firmware, bootId: machine.boots[0]?.bootId });
    expect(site.site.contacts(plan.target.name)).toEqual({
      scriptFetched: true,
      kernelFetched: true,
      initrdFetched: true,
    });
    expect(await site.site.finish(plan.target.name, plan.session, "off", 5_000)).toBe(true);
    await off;
    expect(machine.isOn()).toBe(false);
  },
);
