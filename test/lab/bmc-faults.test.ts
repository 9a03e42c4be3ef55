import { afterEach, expect, test } from "vitest";
import type { FaultSpec } from "../../src/lab/bmc/faults/index.js";
import { BmcHarness, LOGIN, SYSTEM } from "./bmc-harness.js";

let bmc: BmcHarness;
afterEach(() => bmc?.stop());
const start = async (...faults: FaultSpec[]) => {
  bmc = await BmcHarness.start({ faults });
};
const RESET = `${SYSTEM}/Actions/ComputerSystem.Reset`;

test("status: answers so many times with it, where it matches", async () => {
  await start({
    fault: "status",
    status: 503,
    retryAfterSeconds: 3,
    match: { method: "GET", path: "Systems/1" },
    times: 1,
  });
  expect((await bmc.ask("GET", "/redfish/v1/Systems")).status).toBe(200);
  const busy = await bmc.ask("GET", SYSTEM);
  expect([busy.status, busy.headers["retry-after"]]).toEqual([503, "3"]);
  expect((await bmc.ask("GET", SYSTEM)).status).toBe(200);
});

test("drop: the socket closes without an answer, before or after the request took effect", async () => {
  await start({ fault: "drop", done: true, match: { path: "Reset" }, times: 1 });
  await expect(bmc.reset("On")).rejects.toThrow(/socket hang up|ECONNRESET/);
  await bmc.bmc.settled();
  expect(bmc.machine.done).toEqual(["start disk"]);
  bmc.bmc.faults.inject({ fault: "drop", match: { path: "Reset" }, times: 1 });
  await expect(bmc.reset("ForceOff")).rejects.toThrow();
  await bmc.bmc.settled();
  expect(bmc.machine.isOn()).toBe(true);
});

test("delay: the answer is late", async () => {
  await start({ fault: "delay", ms: 120, times: 1 });
  const before = performance.now();
  await bmc.ask("GET", SYSTEM);
  expect(performance.now() - before).toBeGreaterThan(110);
});

test.each([
  [false, "Disabled"],
  [true, "Once"],
])("ignored-override: the disk boots (kept: %s, then %s)", async (kept, enabled) => {
  await start({ fault: "ignored-override", kept });
  await bmc.patchBoot({ BootSourceOverrideEnabled: "Once", BootSourceOverrideTarget: "Pxe" });
  await bmc.reset("On");
  expect(bmc.machine.done).toEqual(["start disk"]);
  expect((await bmc.ask("GET", SYSTEM)).json.Boot).toMatchObject({ BootSourceOverrideEnabled: enabled });
});

test("session-expiry: every session ends after so many requests", async () => {
  await start({ fault: "session-expiry", afterRequests: 1, times: 1 });
  const body = { UserName: LOGIN.userName, Password: LOGIN.password };
  const made = await bmc.ask("POST", "/redfish/v1/SessionService/Sessions", { body, anonymous: true });
  const headers = { "x-auth-token": String(made.headers["x-auth-token"]) };
  expect((await bmc.ask("GET", SYSTEM, { headers })).status).toBe(200);
  expect((await bmc.ask("GET", SYSTEM, { headers })).status).toBe(401);
});

test("etag: weak ones are accepted as shown, stale ones never, and none may be sent at all", async () => {
  await start();
  const patch = (match: string) =>
    bmc.ask("PATCH", SYSTEM, { body: { AssetTag: "x" }, headers: { "if-match": match } });
  const shown = async () => (await bmc.ask("GET", SYSTEM)).headers.etag;
  let restore = bmc.bmc.faults.inject({ fault: "etag", kind: "weak" });
  const weak = String(await shown());
  expect(weak).toMatch(/^W\/"/);
  expect((await patch(weak.slice(2))).status).toBe(412);
  expect((await patch(weak)).status).toBe(200);
  restore();
  restore = bmc.bmc.faults.inject({ fault: "etag", kind: "stale" });
  expect((await patch(String(await shown()))).status).toBe(412);
  expect((await patch("*")).status).toBe(200);
  restore();
  bmc.bmc.faults.inject({ fault: "etag", kind: "none" });
  expect(await shown()).toBeUndefined();
});

test("lying-power: PowerState says something else than the machine does", async () => {
  await start({ fault: "lying-power", says: "Off", times: 1 });
  await bmc.reset("On");
  expect((await bmc.ask("GET", SYSTEM)).json.PowerState).toBe("Off");
  expect((await bmc.ask("GET", SYSTEM)).json.PowerState).toBe("On");
});

test("lost-reset: is accepted, and nothing happens", async () => {
  await start({ fault: "lost-reset", type: "On", times: 1 });
  expect((await bmc.reset("On")).status).toBe(204);
  expect(bmc.machine.done).toEqual([]);
  await bmc.reset("On");
  expect(bmc.machine.done).toEqual(["start disk"]);
});

test("settings-object: the system refuses Boot, and its Settings resource takes it", async () => {
  await start({ fault: "settings-object" });
  const change = { BootSourceOverrideEnabled: "Once", BootSourceOverrideTarget: "Pxe" };
  expect((await bmc.patchBoot(change)).status).toBe(400);
  const system = await bmc.ask("GET", SYSTEM);
  const settings = system.json["@Redfish.Settings"] as { SettingsObject: { "@odata.id": string } };
  const path = settings.SettingsObject["@odata.id"];
  expect((await bmc.ask("PATCH", path, { body: { Boot: change } })).status).toBe(200);
  await bmc.reset("On");
  expect(bmc.machine.done).toEqual(["start pxe"]);
  bmc.bmc.faults.clear();
  expect((await bmc.ask("GET", path)).status).toBe(404);
});

test("continuous-only: there is no Once to choose, and what is lasting stays", async () => {
  await start({ fault: "continuous-only" });
  const once = { BootSourceOverrideEnabled: "Once", BootSourceOverrideTarget: "Pxe" };
  expect((await bmc.patchBoot(once)).status).toBe(400);
  expect((await bmc.patchBoot({ ...once, BootSourceOverrideEnabled: "Continuous" })).status).toBe(200);
  expect((await bmc.ask("GET", SYSTEM)).json.Boot).toMatchObject({
    BootSourceOverrideEnabled: "Continuous",
    "BootSourceOverrideEnabled@Redfish.AllowableValues": ["Disabled", "Continuous"],
  });
});

test("a fault that does not exist is refused in one sentence", async () => {
  await start();
  const wrong = { fault: "gremlins" } as unknown as FaultSpec;
  expect(() => bmc.bmc.faults.inject(wrong)).toThrow(/The fault is not usable/);
  expect((await bmc.ask("POST", RESET, { body: { ResetType: "On", Force: true } })).status).toBe(400);
});

test("after: so many pass before the fault begins", async () => {
  await start({ fault: "status", status: 503, after: 2, times: 1 });
  const statuses = [];
  for (let i = 0; i < 4; i++) statuses.push((await bmc.ask("GET", SYSTEM)).status);
  expect(statuses).toEqual([200, 200, 503, 200]);
});

test("status, done: the refusal comes after the request took effect", async () => {
  await start({ fault: "status", status: 400, done: true, match: { method: "PATCH" }, times: 1 });
  const patch = { Boot: { BootSourceOverrideEnabled: "Once", BootSourceOverrideTarget: "Pxe" } };
  expect((await bmc.ask("PATCH", SYSTEM, { body: patch })).status).toBe(400);
  expect((await bmc.ask("GET", SYSTEM)).json.Boot).toMatchObject({ BootSourceOverrideEnabled: "Once" });
});

test("ignored-write: it is answered as done, and nothing of it happens", async () => {
  await start({ fault: "ignored-write", times: 1 });
  const patch = { Boot: { BootSourceOverrideEnabled: "Once", BootSourceOverrideTarget: "Pxe" } };
  expect((await bmc.ask("PATCH", SYSTEM, { body: patch })).status).toBe(204);
  expect((await bmc.ask("GET", SYSTEM)).json.Boot).toMatchObject({ BootSourceOverrideEnabled: "Disabled" });
});

test("stale-read: shows what was so before, so many times", async () => {
  await start({ fault: "stale-read", after: 1, times: 1 });
  await bmc.ask("GET", SYSTEM);
  await bmc.reset("On");
  const power = async () => (await bmc.ask("GET", SYSTEM)).json.PowerState;
  expect([await power(), await power()]).toEqual(["Off", "On"]);
});
