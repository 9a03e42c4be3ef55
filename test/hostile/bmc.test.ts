import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PitstopError } from "../../src/domain/errors.js";
import { FakeBmc, type Json, UUID } from "../control/fake-bmc.js";
import { connect, type Hands } from "../control/help.js";
import { bounded } from "./attack.js";
import { inBounds } from "./bounds.js";
import { mutate, place } from "./mutate.js";

const SYSTEM = "/redfish/v1/Systems/1";
/** What one look and one change may cost at most, however a service is made: a few hundred members, each asked once. */
const MAX_REQUESTS = 2_500;

/** Values that no schema has: other types, other hosts, loops, escapes, texts that would end a header. */
const strange = fc.oneof(
  fc.constantFrom<unknown>(
    ...[
      null,
      true,
      0,
      -1,
      1e308,
      "",
      [],
      {},
      "https://evil.example/redfish/v1",
      "//evil.example/x",
      "../../..",
      "%zz",
      "\ud800",
    ],
    ...["/redfish/v1/Systems", SYSTEM, "\r\nX-Evil: 1", "\u0000", 'W/"x', "a b", "x".repeat(100_000), "constructor"],
    { "@odata.id": SYSTEM },
    { "@odata.id": "https://evil.example/" },
    { "@odata.id": "/redfish/v1/Systems?$skip=1" },
    { "@odata.id": "/redfish/v1/Systems/%zz" },
    { "@odata.id": "/redfish/v1/Systems/\ud800" },
    Array.from({ length: 5_000 }, (_, index) => ({ "@odata.id": `${SYSTEM}/BootOptions/${index}` })),
    Array.from({ length: 250 }, () => ({ "@odata.id": `${SYSTEM}/VirtualMedia` })),
    Array.from({ length: 1_000 }, () => "Boot0001"),
  ),
  fc.jsonValue({ maxDepth: 3 }),
);

const mutation = fc.record({
  path: fc.constantFrom(
    ...["/redfish/v1/", "/redfish/v1/Systems", SYSTEM, `${SYSTEM}/BootOptions`, `${SYSTEM}/VirtualMedia`],
    ...[`${SYSTEM}/VirtualMedia/Cd`, `${SYSTEM}/SecureBoot`, `${SYSTEM}/EthernetInterfaces`],
  ),
  value: strange,
  ...place,
});

const STEPS: Record<string, (control: Hands) => Promise<unknown>> = {
  read: (control) => control.readState(),
  power: (control) => control.power(),
  arm: (control) => control.arm({ via: "pxe" }),
  insert: (control) => control.insertMedia("https://site/x.iso"),
  reset: (control) => control.reset("GracefulShutdown"),
  order: (control) => control.restoreBootOrder([{ reference: "Boot0001", name: "PXE", devicePath: null }]),
  override: (control) => control.restoreOverride({ enabled: "Disabled", target: null, mode: null, httpBootUri: null }),
  media: (control) => control.restoreMedia([{ slot: `${SYSTEM}/VirtualMedia/Cd`, inserted: false, image: null }]),
};

let bmc: FakeBmc;
beforeAll(async () => {
  bmc = await FakeBmc.start();
});
afterAll(() => bmc.stop());

/** One step after the other; whatever is thrown is ours, and the work is bounded. */
async function attack(): Promise<void> {
  const control = await connect(bmc);
  for (const [name, step] of Object.entries(STEPS)) {
    const before = bmc.seen.length;
    await step(control).catch((error: unknown) => {
      expect(error, `${name}: ${error}`).toBeInstanceOf(PitstopError);
      expect((error as PitstopError).message.length).toBeLessThan(4_000);
    });
    expect(bmc.seen.length - before, `requests of ${name}`).toBeLessThan(MAX_REQUESTS);
    expect(bmc.seen.slice(before).filter(({ headers }) => headers["x-evil"] !== undefined)).toEqual([]);
    bmc.seen.length = 0;
  }
  await control.close();
}

/** The service's own documents, read once as a client would. */
async function documents(): Promise<Map<string, unknown>> {
  const found = new Map<string, unknown>();
  bmc.faults.length = 0;
  const control = await connect(bmc);
  await control.readState();
  await control.close();
  const members = (at: string, all: Json[]): Json => ({
    "@odata.id": at,
    Members: all.map((one, index) => ({ "@odata.id": `${at}/${index + 1}`, ...one })),
  });
  found.set("/redfish/v1/", bmc.root);
  found.set(
    "/redfish/v1/Systems",
    members("/redfish/v1/Systems", [{ ...bmc.system, PowerState: "On", Boot: bmc.boot }]),
  );
  found.set(SYSTEM, { ...bmc.system, PowerState: "On", Boot: bmc.boot });
  found.set(`${SYSTEM}/BootOptions`, members(`${SYSTEM}/BootOptions`, bmc.options));
  found.set(`${SYSTEM}/VirtualMedia`, members(`${SYSTEM}/VirtualMedia`, [bmc.media]));
  found.set(`${SYSTEM}/VirtualMedia/Cd`, bmc.media);
  found.set(`${SYSTEM}/SecureBoot`, bmc.secureBoot);
  found.set(`${SYSTEM}/EthernetInterfaces`, members(`${SYSTEM}/EthernetInterfaces`, bmc.nics));
  return found;
}

describe("a BMC whose service is whole, but for some fields", () => {
  it("ends each step in bounded work with the state or a sentence, and puts nothing into a header", {
    timeout: 180_000,
  }, async () => {
    const whole = await documents();
    await bounded(
      fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 3 }), async (mutations) => {
        const shown = new Map(whole);
        for (const { path, steps, value, how } of mutations)
          shown.set(path, mutate(shown.get(path), steps, value, how));
        bmc.faults.splice(0, Number.POSITIVE_INFINITY, (seen) => {
          const path = seen.path.split("?")[0] ?? "";
          const changed = mutations.some((one) => one.path === path || one.path === `${path}/`);
          return seen.method === "GET" && changed
            ? { status: 200, body: shown.get(path) ?? shown.get(`${path}/`) }
            : undefined;
        });
        await attack();
      }),
      { numRuns: 40 },
    );
  });

  it.each<[string, unknown]>([
    ["an Id that cannot be unescaped", { Members: [{ "@odata.id": "/redfish/v1/Systems/%zz" }] }],
    [
      "a page that follows itself",
      { Members: [{ "@odata.id": SYSTEM }], "Members@odata.nextLink": "/redfish/v1/Systems" },
    ],
    [
      "more members than any machine has",
      {
        Members: Array.from({ length: 250 }, () => ({ "@odata.id": SYSTEM })),
        "Members@odata.nextLink": "/redfish/v1/Systems",
      },
    ],
  ])("ends in a sentence where the list of systems has %s", async (_what, list) => {
    bmc.faults.splice(0, Number.POSITIVE_INFINITY, (seen) =>
      seen.method === "GET" && seen.path.split("?")[0] === "/redfish/v1/Systems"
        ? { status: 200, body: list }
        : undefined,
    );
    await inBounds(attack);
  });

  it("is changed without an entity tag where its own would not fit into a header", async () => {
    bmc.faults.splice(0, Number.POSITIVE_INFINITY, (seen) =>
      seen.method === "GET" && seen.path === SYSTEM
        ? {
            status: 200,
            body: { ...bmc.system, UUID, PowerState: "On", Boot: bmc.boot, "@odata.etag": "a\r\nX-Evil: 1" },
          }
        : undefined,
    );
    const control = await connect(bmc, {
      control: [
        {
          redfish: { url: bmc.url, system: "1", credentials: { env: "BMC" }, tls: { fingerprint256: bmc.fingerprint } },
        },
      ],
    });
    // The override is written; what is read back is the answer above, so it seems not to have been taken.
    await control.arm({ via: "pxe" }).catch((error: unknown) => expect(error).toBeInstanceOf(PitstopError));
    const patches = bmc.seen.filter(({ method }) => method === "PATCH");
    expect(patches.length).toBeGreaterThan(0);
    expect(patches.every(({ headers }) => headers["if-match"] === undefined)).toBe(true);
    await control.close();
  });
});

describe("a BMC whose answers are no JSON that can be used", () => {
  it.each([
    ["cut off", '{"Members":['],
    ["too deep", `${"[".repeat(50_000)}${"]".repeat(50_000)}`],
    ["too large", JSON.stringify({ x: "x".repeat(5 * 1024 * 1024) })],
    ["a list", "[1]"],
    ["a number", "1e999"],
    ["a page", "<html>Login</html>"],
    ["a polluted object", '{"__proto__":{"Boot":1},"constructor":{"prototype":{"x":1}}}'],
  ])("ends in a sentence where all of them are %s", async (_what, raw) => {
    bmc.faults.splice(0, Number.POSITIVE_INFINITY, (seen) =>
      seen.method === "GET" ? { status: 200, raw } : undefined,
    );
    await inBounds(attack);
    expect(({} as Json).Boot).toBeUndefined();
  });
});
