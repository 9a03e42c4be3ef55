import { readFileSync, statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { Agent, request } from "undici";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { parseAllDocuments } from "yaml";
import { Target } from "../../src/domain/target.js";
import type { LabConfigInput } from "../../src/lab/config.js";
import { type Lab, startLab } from "../../src/lab/lab.js";

let dir: string;
let lab: Lab | undefined;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "pitstop-lab-"));
});
afterEach(async () => {
  await lab?.close();
  lab = undefined;
  await rm(dir, { recursive: true, force: true });
});
const start = async (machines: LabConfigInput["machines"]): Promise<Lab> => {
  lab = await startLab({ dataDir: dir, cacheDir: join(dir, "cache"), config: { machines }, siteUrl: null });
  return lab;
};

test("its YAML is the catalogue's documents, with credentials by reference", async () => {
  const made = await start([
    { name: "a1", firmware: "uefi" },
    { name: "a2", labels: { rack: "r1" }, power: "off" },
  ]);
  const documents = parseAllDocuments(made.targetYaml()).map((document) => Target.parse(document.toJS()));
  expect(documents).toEqual(made.targetDocuments());
  expect(documents.map(({ name, boot, labels }) => [name, boot.firmware, boot.via, labels])).toEqual([
    ["a1", "uefi", ["uefi-http", "pxe"], { lab: "process" }],
    ["a2", "bios", ["pxe"], { lab: "process", rack: "r1" }],
  ]);
  expect(new Set(documents.map(({ identity }) => identity.uuid)).size).toBe(2);
  const { credentialsFile } = made.target("a1");
  expect(statSync(credentialsFile).mode & 0o777).toBe(0o600);
  const secret = readFileSync(credentialsFile, "utf8").split(":")[1] ?? "";
  expect(secret.length).toBeGreaterThan(16);
  expect(made.targetYaml()).not.toContain(secret);
});

test("the fingerprint in the document is that of the certificate that the BMC presents", async () => {
  const { bmc } = (await start([{ name: "a1" }])).target("a1");
  const presented = await new Promise<string>((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port: bmc.port, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().fingerprint256);
      socket.destroy();
    });
    socket.on("error", reject);
  });
  expect(bmc.fingerprint256).toBe(presented);
});

test("addresses, certificates and the power state are the same after a restart", async () => {
  const machines = [{ name: "a1" }, { name: "a2", power: "off" as const }];
  const first = await start(machines);
  const before = first.targetYaml();
  await vi.waitFor(() => expect(first.target("a1").machine.isOn()).toBe(true));
  await first.close();
  const second = await start(machines);
  expect(second.targetYaml()).toBe(before);
  await vi.waitFor(async () => expect((await fetch(second.target("a1").machine.homeUrl)).status).toBe(200));
  expect(second.target("a2").machine.isOn()).toBe(false);
});

test("lab.log tells each answer of a BMC and each power event, with the machine's name", async () => {
  const { bmc, machine } = (await start([{ name: "a1", power: "off" }])).target("a1");
  bmc.faults.inject({ fault: "drop", match: { path: "/Systems" }, times: 1 });
  const get = (path: string) =>
    request(`${bmc.url}${path}`, { dispatcher: new Agent({ connect: { rejectUnauthorized: false } }) });
  await (await get("/redfish/v1/")).body.dump();
  await (await get("/redfish/v1/Managers")).body.dump();
  await expect(get("/redfish/v1/Systems")).rejects.toThrow();
  machine.emit("off");
  await lab?.close();
  const told = readFileSync(join(dir, "lab.log"), "utf8").trim().split("\n");
  expect(told.map((line) => line.replace(/^\d{4}-\S+Z /, ""))).toEqual([
    "a1 GET /redfish/v1 200",
    "a1 GET /redfish/v1/Managers 401",
    "a1 GET /redfish/v1/Systems dropped",
    "a1 power guest-off (the system turned itself off)",
  ]);
});

test("a second lab in the same folder is refused in one sentence", async () => {
  await start([{ name: "a1" }]);
  const second = startLab({
    dataDir: dir,
    cacheDir: join(dir, "cache"),
    config: { machines: [{ name: "a1" }] },
    siteUrl: null,
  });
  await expect(second).rejects.toThrow(/is taken; stop the lab that runs already/);
});

test.each([
  [{ machines: [] }, /machines/],
  [{ machines: [{ name: "A 1" }] }, /machines\.0\.name/],
  [{ machines: [{ name: "a1" }, { name: "a1" }] }, /a name of its own/],
  [{ machines: [{ name: "a1", bmcFaults: [{ fault: "etag", kind: "odd" }] }] }, /bmcFaults\.0\.kind/],
])("a wrong configuration is refused by its place: %j", async (config, place) => {
  const wrong = startLab({
    dataDir: dir,
    cacheDir: dir,
    config: config as unknown as LabConfigInput,
    siteUrl: null,
  });
  await expect(wrong).rejects.toThrow(place);
});

test("a hundred machines are on and answer home within seconds", async () => {
  const names = Array.from({ length: 100 }, (_, index) => `n${index}`);
  const made = await start(names.map((name) => ({ name })));
  await vi.waitFor(
    async () => {
      const answers = await Promise.all(made.targets.map(({ machine }) => fetch(machine.homeUrl)));
      expect(answers.every(({ status }) => status === 200)).toBe(true);
    },
    { timeout: 20_000, interval: 200 },
  );
});
