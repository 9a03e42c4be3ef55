import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { BmcHarness, SYSTEM } from "./bmc-harness.js";

const CD = "/redfish/v1/Managers/BMC/VirtualMedia/Cd";
const INSERT = `${CD}/Actions/VirtualMedia.InsertMedia`;
const EJECT = `${CD}/Actions/VirtualMedia.EjectMedia`;
/** More than two ranges of a BMC. */
const bytes = randomBytes(9_000_000);
let bmc: BmcHarness;
let web: Server;
let ranges: string[];
/** What the server does with the file. */
let mode: "ranges" | "whole" | "changing" | "denied";

beforeEach(async () => {
  ranges = [];
  mode = "ranges";
  web = createServer((request, response) => {
    if (mode === "denied") return void response.writeHead(401).end();
    ranges.push(request.headers.range ?? "");
    const [start = 0, end = 0] = (/(\d+)-(\d+)/.exec(request.headers.range ?? "")?.slice(1) ?? []).map(Number);
    if (mode === "whole") return void response.writeHead(200, { "content-length": bytes.length }).end(bytes);
    const total = mode === "changing" && start > 0 ? bytes.length + 1 : bytes.length;
    const part = bytes.subarray(start, end + 1);
    response.writeHead(206, {
      "content-range": `bytes ${start}-${start + part.length - 1}/${total}`,
      "content-length": part.length,
    });
    response.end(part);
  });
  await new Promise<void>((resolve) => web.listen(0, "127.0.0.1", resolve));
});
afterEach(async () => {
  await bmc?.stop();
  await new Promise((resolve) => web.close(resolve));
});
const image = () => `http://127.0.0.1:${(web.address() as AddressInfo).port}/m/segment/image.iso`;
const insert = (body: Record<string, unknown> = { Image: image() }) => bmc.ask("POST", INSERT, { body });
const slot = async () => (await bmc.ask("GET", CD)).json;

test.each(["ranges", "whole"] as const)("a medium is fetched (%s) and is in the machine byte for byte", async (how) => {
  bmc = await BmcHarness.start();
  mode = how;
  expect((await insert()).status).toBe(204);
  expect(await slot()).toMatchObject({ Inserted: true, Image: image(), ImageName: "image.iso", ConnectedVia: "URI" });
  expect(readFileSync(String(bmc.machine.medium)).equals(bytes)).toBe(true);
  expect(ranges).toHaveLength(how === "ranges" ? 3 : 1);
  expect((await bmc.ask("POST", EJECT, { body: {} })).status).toBe(204);
  expect(await slot()).toMatchObject({ Inserted: false, Image: null, ConnectedVia: "NotConnected" });
  expect(bmc.machine.medium).toBeNull();
});

test("ejecting an empty slot is accepted; a taken slot refuses another medium", async () => {
  bmc = await BmcHarness.start();
  expect((await bmc.ask("POST", EJECT, { raw: "{}" })).status).toBe(204);
  await insert();
  expect((await insert()).status).toBe(409);
});

test.each(["changing", "denied"] as const)("a file that is %s is not inserted", async (how) => {
  bmc = await BmcHarness.start();
  mode = how;
  expect((await insert()).status).toBe(400);
  expect(await slot()).toMatchObject({ Inserted: false });
  expect(bmc.machine.medium).toBeNull();
});

test.each([
  [{ Image: "file:///etc/passwd" }],
  [{}],
  [{ Image: "http://127.0.0.1:1/x.iso", WriteProtected: false }],
  [{ Image: "http://127.0.0.1:1/x.iso", Colour: "red" }],
  [{ Image: "http://127.0.0.1:1/x.iso" }],
])("InsertMedia %j is refused", async (body) => {
  bmc = await BmcHarness.start();
  expect((await insert(body)).status).toBe(400);
});

test("the medium is in the machine again after a restart of the lab", async () => {
  bmc = await BmcHarness.start();
  await insert();
  const machine = await bmc.restart();
  expect(readFileSync(String(machine.medium)).length).toBe(bytes.length);
  expect(await slot()).toMatchObject({ Inserted: true, Image: image() });
});

test("sticky-media: Inserted stays true after the eject, and the machine's slot is empty", async () => {
  bmc = await BmcHarness.start({ faults: [{ fault: "sticky-media" }] });
  await insert();
  await slot();
  await bmc.ask("POST", EJECT, { body: {} });
  expect(await slot()).toMatchObject({ Inserted: true, Image: null });
  expect(bmc.machine.medium).toBeNull();
  expect((await bmc.ask("GET", SYSTEM)).status).toBe(200);
});
