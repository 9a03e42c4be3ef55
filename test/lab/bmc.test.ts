import { afterEach, describe, expect, test } from "vitest";
import { BmcHarness, LOGIN, SYSTEM } from "./bmc-harness.js";

let bmc: BmcHarness;
afterEach(() => bmc?.stop());

const SESSIONS = "/redfish/v1/SessionService/Sessions";
const messageIds = (json: Record<string, unknown>): string[] => {
  const error = json.error as { "@Message.ExtendedInfo": { MessageId: string }[] };
  return error["@Message.ExtendedInfo"].map((info) => info.MessageId.split(".").at(-1) ?? "");
};
const bootOf = async (): Promise<Record<string, unknown>> =>
  (await bmc.ask("GET", SYSTEM)).json.Boot as Record<string, unknown>;

describe("the protocol", () => {
  test("the service root and $metadata are readable without login, and nothing else is", async () => {
    bmc = await BmcHarness.start();
    const root = await bmc.ask("GET", "/redfish/v1/", { anonymous: true });
    expect(root.status).toBe(200);
    expect(root.headers["odata-version"]).toBe("4.0");
    expect(root.json.UUID).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8/);
    expect(root.json.UUID).not.toBe(bmc.machine.uuid);
    const metadata = await bmc.ask("GET", "/redfish/v1/$metadata", { anonymous: true });
    expect(metadata.headers["content-type"]).toMatch(/^application\/xml/);
    const refused = await bmc.ask("GET", SYSTEM, { anonymous: true });
    expect(refused.status).toBe(401);
    expect(refused.headers["www-authenticate"]).toMatch(/^Basic/);
    expect(messageIds(refused.json)).toEqual(["NoValidSession"]);
  });

  test("what does not exist is 404, and what cannot be done there is 405 with Allow", async () => {
    bmc = await BmcHarness.start();
    expect((await bmc.ask("GET", "/redfish/v1/Fabrics")).status).toBe(404);
    const refused = await bmc.ask("DELETE", SYSTEM);
    expect(refused.status).toBe(405);
    expect(refused.headers.allow).toBe("GET, HEAD, PATCH");
  });

  test("HEAD has the headers of GET and no body", async () => {
    bmc = await BmcHarness.start();
    const [head, get] = [await bmc.ask("HEAD", SYSTEM), await bmc.ask("GET", SYSTEM)];
    expect(head.text).toBe("");
    expect(head.headers.etag).toBe(get.headers.etag);
    expect(head.headers["content-length"]).toBe(get.headers["content-length"]);
  });

  test("a stale If-Match is 412 and changes nothing; a fresh one is accepted", async () => {
    bmc = await BmcHarness.start();
    const etag = String((await bmc.ask("GET", SYSTEM)).headers.etag);
    const body = { AssetTag: "rack 4" };
    expect((await bmc.ask("PATCH", SYSTEM, { body, headers: { "if-match": '"old"' } })).status).toBe(412);
    expect((await bmc.ask("GET", SYSTEM)).json.AssetTag).toBe("");
    expect((await bmc.ask("PATCH", SYSTEM, { body, headers: { "if-match": etag } })).status).toBe(200);
    expect((await bmc.ask("PATCH", SYSTEM, { body, headers: { "if-match": etag } })).status).toBe(412);
    const unchanged = await bmc.ask("GET", SYSTEM);
    const again = await bmc.ask("GET", SYSTEM, { headers: { "if-none-match": String(unchanged.headers.etag) } });
    expect(again.status).toBe(304);
  });

  test("$expand puts members into a collection; unknown $ parameters are 501", async () => {
    bmc = await BmcHarness.start();
    const expanded = await bmc.ask("GET", `${SYSTEM}/BootOptions?$expand=.($levels=1)`);
    expect((expanded.json.Members as Record<string, unknown>[]).map((each) => each.BootOptionReference)).toEqual([
      "Boot0000",
      "Boot0001",
    ]);
    const only = await bmc.ask("GET", "/redfish/v1/Systems?only");
    expect(only.json.UUID).toBe(bmc.machine.uuid);
    expect((await bmc.ask("GET", "/redfish/v1/Systems?$filter=x")).status).toBe(501);
    expect((await bmc.ask("GET", "/redfish/v1/Systems?$expand=.($levels=9)")).status).toBe(400);
  });

  test("a body that is not JSON, too large, or of another type is refused", async () => {
    bmc = await BmcHarness.start();
    expect((await bmc.ask("PATCH", SYSTEM, { raw: "{" })).status).toBe(400);
    expect((await bmc.ask("PATCH", SYSTEM, { raw: "[]" })).status).toBe(400);
    const type = { "content-type": "text/plain" };
    expect((await bmc.ask("PATCH", SYSTEM, { raw: "{}", headers: type })).status).toBe(415);
    expect((await bmc.ask("PATCH", SYSTEM, { raw: `{"AssetTag":"${"x".repeat(70_000)}"}` })).status).toBe(413);
  });
});

describe("sessions", () => {
  const login = (Password: string) =>
    bmc.ask("POST", SESSIONS, { body: { UserName: LOGIN.userName, Password }, anonymous: true });

  test("a token is valid until its session is deleted", async () => {
    bmc = await BmcHarness.start();
    const made = await login(LOGIN.password);
    expect(made.status).toBe(201);
    const headers = { "x-auth-token": String(made.headers["x-auth-token"]) };
    expect((await bmc.ask("GET", SYSTEM, { headers })).status).toBe(200);
    expect((await bmc.ask("DELETE", String(made.headers.location), { headers })).status).toBe(204);
    expect((await bmc.ask("GET", SYSTEM, { headers })).status).toBe(401);
  });

  test("a wrong password is 401 and makes no session", async () => {
    bmc = await BmcHarness.start();
    expect((await login("wrong")).status).toBe(401);
    expect((await bmc.ask("GET", SESSIONS)).json["Members@odata.count"]).toBe(0);
  });

  test("a session ends when it was idle too long", async () => {
    // Longer than a busy machine needs between two requests.
    bmc = await BmcHarness.start({ sessionTimeoutSeconds: 3 });
    const headers = { "x-auth-token": String((await login(LOGIN.password)).headers["x-auth-token"]) };
    expect((await bmc.ask("GET", SYSTEM, { headers })).status).toBe(200);
    await new Promise((resolve) => setTimeout(resolve, 3_200));
    expect((await bmc.ask("GET", SYSTEM, { headers })).status).toBe(401);
  });
});

describe("changing properties", () => {
  test("an unknown and a read-only property are told apart, and nothing is changed", async () => {
    bmc = await BmcHarness.start();
    const answer = await bmc.ask("PATCH", SYSTEM, { body: { Colour: "red", PowerState: "On" } });
    expect(answer.status).toBe(400);
    expect(messageIds(answer.json)).toEqual(["PropertyUnknown", "PropertyNotWritable"]);
    expect(messageIds((await bmc.ask("PATCH", SYSTEM, { body: {} })).json)).toEqual(["NoOperation"]);
  });

  test("what can be changed is changed although the rest is refused by name", async () => {
    bmc = await BmcHarness.start();
    const answer = await bmc.ask("PATCH", SYSTEM, { body: { AssetTag: "a1", Model: "other" } });
    expect(answer.status).toBe(200);
    expect(answer.json.AssetTag).toBe("a1");
    expect(JSON.stringify(answer.json["Model@Message.ExtendedInfo"])).toContain("PropertyNotWritable");
  });

  test.each([
    [{ BootSourceOverrideTarget: "Floppy" }, "PropertyValueNotInList"],
    [{ BootSourceOverrideMode: "Legacy" }, "PropertyValueNotInList"],
    [{ BootSourceOverrideEnabled: 1 }, "PropertyValueNotInList"],
    [{ BootOrder: "Boot0001" }, "PropertyValueTypeError"],
    [{ HttpBootUri: "ftp://x/y" }, "PropertyValueError"],
    [{ BootNext: "Boot0001" }, "PropertyUnknown"],
    [{ BootOptions: {} }, "PropertyNotWritable"],
    [{ BootOrder: ["Boot0009"] }, "PropertyValueError"],
    [{ BootSourceOverrideEnabled: "Once", BootSourceOverrideTarget: "UefiHttp" }, "PropertyValueConflict"],
  ])("Boot %j is refused with %s", async (boot, id) => {
    bmc = await BmcHarness.start();
    const before = await bootOf();
    const answer = await bmc.patchBoot(boot);
    expect([answer.status, messageIds(answer.json)]).toEqual([400, [id]]);
    expect(await bootOf()).toEqual(before);
  });

  test("a BIOS machine has no UefiHttp and no HttpBootUri", async () => {
    bmc = await BmcHarness.start({ firmware: "bios" });
    const boot = await bootOf();
    expect(boot["BootSourceOverrideTarget@Redfish.AllowableValues"]).toEqual(["None", "Pxe", "Hdd", "Cd"]);
    expect("HttpBootUri" in boot).toBe(false);
    expect((await bmc.patchBoot({ BootSourceOverrideTarget: "UefiHttp" })).status).toBe(400);
    expect((await bmc.ask("GET", `${SYSTEM}/SecureBoot`)).status).toBe(404);
  });

  test("the boot order is written while the machine is off, and refused while it is on", async () => {
    bmc = await BmcHarness.start();
    expect((await bmc.patchBoot({ BootOrder: ["Boot0001", "Boot0000"] })).status).toBe(200);
    expect((await bootOf()).BootOrder).toEqual(["Boot0001", "Boot0000"]);
    await bmc.reset("On");
    expect((await bmc.patchBoot({ BootOrder: ["Boot0001", "Boot0000"] })).status).toBe(200);
    expect((await bmc.patchBoot({ BootOrder: ["Boot0000", "Boot0001"] })).status).toBe(409);
  });
});

describe("the journal", () => {
  test("power polls are told apart from other requests", async () => {
    bmc = await BmcHarness.start();
    await bmc.ask("GET", SYSTEM);
    await bmc.patchBoot({ BootSourceOverrideEnabled: "Once", BootSourceOverrideTarget: "Pxe" });
    await bmc.ask("GET", SYSTEM);
    await bmc.reset("On");
    await bmc.ask("GET", SYSTEM);
    await bmc.ask("GET", SYSTEM);
    const { total, powerPolls, byClass } = bmc.bmc.journal.requests;
    expect({ total, powerPolls }).toEqual({ total: 6, powerPolls: 2 });
    expect(byClass).toEqual({ "GET system": 4, "PATCH system": 1, "POST reset": 1 });
    expect(bmc.bmc.journal.events.map(({ what, why, boot }) => [what, why, boot])).toEqual([
      ["start", "Reset On", "pxe"],
    ]);
  });
});
