import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Lab, type LabTarget, startLab } from "../../src/lab/lab.js";
import { redfishClients, schemaFolder } from "./clients/install.js";

/** Real clients of other people against the lab's BMC, over TLS. */
let programs: string;
let dir: string;
let lab: Lab;
let target: LabTarget;
let web: Server;
let image: string;
let password: string;

beforeAll(async () => {
  programs = await redfishClients();
  const bytes = Buffer.alloc(100_000, "medium");
  web = createServer((request, response) => {
    const [start = 0, end = 0] = (/(\d+)-(\d+)/.exec(request.headers.range ?? "")?.slice(1) ?? []).map(Number);
    const part = bytes.subarray(start, end + 1);
    response.writeHead(206, { "content-range": `bytes ${start}-${start + part.length - 1}/${bytes.length}` });
    response.end(part);
  });
  await new Promise<void>((resolve) => web.listen(0, "127.0.0.1", resolve));
  image = `http://127.0.0.1:${(web.address() as AddressInfo).port}/m/image.iso`;
}, 300_000);
afterAll(() => web?.close());

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "pitstop-clients-"));
  lab = await startLab({
    dataDir: dir,
    cacheDir: join(dir, "cache"),
    config: { machines: [{ name: "m1", firmware: "uefi", power: "off" }] },
    siteUrl: null,
  });
  target = lab.target("m1");
  password = readFileSync(target.credentialsFile, "utf8").split(":")[1] ?? "";
});
afterEach(async () => {
  await lab?.close();
  await rm(dir, { recursive: true, force: true });
});

const starts = () => target.bmc.journal.events.filter(({ what }) => what === "start").map(({ boot }) => boot);

test("redfish-service-validator finds no failure", { timeout: 180_000 }, async (context) => {
  const schemas = schemaFolder();
  const cached = existsSync(join(schemas, "ComputerSystem_v1.xml"));
  const login = ["--rhost", target.bmc.url, "--user", "admin", "--password", password];
  const folders = ["--schema_directory", schemas, "--logdir", join(dir, "validator")];
  const run = await execa(
    join(programs, "rf_service_validator"),
    [...login, ...folders, ...(cached ? ["--skipschema"] : [])],
    { reject: false, all: true },
  );
  if (!existsSync(join(schemas, "ComputerSystem_v1.xml"))) {
    return context.skip(
      "PITSTOP_REDFISH_SCHEMAS names no folder with DMTF's schema files, which cannot be downloaded here",
    );
  }
  expect(run.all).not.toMatch(/FAIL -/);
  expect(run.exitCode, run.all).toBe(0);
  const [passed = 0, warned = 0, failed = 0] = (/\|\s+(\d+)\s+\|\s+(\d+)\s+\|\s+(\d+)\s+\|\s+\d+/.exec(run.all) ?? [])
    .slice(1)
    .map(Number);
  expect(passed).toBeGreaterThan(300);
  // The deprecated place of VirtualMedia below the manager, which clients still look for.
  expect(warned).toBeLessThanOrEqual(3);
  expect(failed).toBe(0);
  expect(readdirSync(join(dir, "validator")).length).toBeGreaterThan(0);
});

test("sushy switches power, boots once from the network, and inserts and ejects a medium", async () => {
  const walk = join("test", "lab", "clients", "sushy_walk.py");
  const run = await execa(join(programs, "python3"), [walk, target.bmc.url, "admin", lab.caFile, image], {
    input: `${password}\n`,
  });
  const said = JSON.parse(run.stdout) as Record<string, unknown>;
  expect(said).toMatchObject({
    uuid: target.machine.uuid,
    power: ["On", "Off", "On"],
    override: [
      ["Once", "Pxe"],
      ["Once", "Pxe"],
      ["Disabled", "None"],
    ],
    inserted: [true, image],
    ejected: [false, null],
    secureBoot: false,
  });
  expect((said.nics as string[]).map((mac) => mac.toLowerCase())).toEqual(target.machine.macs);
  expect(starts()).toEqual(["disk", "pxe"]);
});

describe("redfish_utilities", () => {
  const utility = (program: string, ...args: string[]) =>
    execa(join(programs, program), ["-r", target.bmc.url, "-u", "admin", "-p", password, ...args], { all: true });

  test("sets a boot override once and resets the system", async () => {
    await utility("rf_boot_override.py", "-t", "Pxe");
    expect(target.bmc.override).toMatchObject({ enabled: "Once", target: "Pxe" });
    await utility("rf_power_reset.py", "-t", "On");
    await target.bmc.settled();
    expect(starts()).toEqual(["pxe"]);
    expect(target.bmc.override.enabled).toBe("Disabled");
    await utility("rf_power_reset.py", "-t", "ForceOff");
    await target.bmc.settled();
    expect(target.machine.isOn()).toBe(false);
  });

  test("inserts and ejects a medium, and reads the inventory", async () => {
    await utility("rf_virtual_media.py", "insert", "-image", image);
    expect(target.bmc.insertedImage).toBe(image);
    await utility("rf_virtual_media.py", "eject", "-i", "Cd");
    expect(target.bmc.insertedImage).toBeNull();
    expect((await utility("rf_sys_inventory.py")).exitCode).toBe(0);
  });
});
