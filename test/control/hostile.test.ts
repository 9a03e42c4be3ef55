import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../support/seeded.js";
import { parseJson } from "../../src/control/json.js";
import { faultOf, faultOfThrown, messagesOf, retryAfterMs } from "../../src/control/redfish/faults.js";
import * as resources from "../../src/control/redfish/resources.js";
import { ERROR_CODES, PitstopError } from "../../src/domain/errors.js";
import { swappedUuid, usableUuid } from "../../src/domain/machine-identity.js";
import { FakeBmc, UUID } from "./fake-bmc.js";
import { controlOf, type Hands, targetOf } from "./help.js";

const schemas = Object.entries(resources).filter(([, value]) => typeof value === "object");
/** JSON in which the names that are read occur, so that the values behind them are strange. */
const names = [
  ...["@odata.id", "Members", "Boot", "BootOrder", "BootOptions", "PowerState", "Actions", "Links", "ManagedBy"],
  ...["#ComputerSystem.Reset", "target", "UUID", "Image", "MediaTypes", "@Redfish.Settings", "SettingsObject"],
  ...["BootSourceOverrideEnabled", "BootSourceOverrideTarget", "ResetType@Redfish.AllowableValues", "SecureBoot"],
];
const { anything } = fc.letrec<{ anything: unknown; object: Record<string, unknown> }>((tie) => ({
  anything: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom(UUID, "/redfish/v1/Systems/1", "https://evil.example/", "//evil", "Once", "On", "", null, []),
    fc.array(tie("anything"), { maxLength: 3 }),
    tie("object"),
  ),
  object: fc.dictionary(fc.constantFrom(...names), tie("anything"), { maxKeys: 8 }),
}));

describe("whatever a BMC sends", () => {
  it("is read by every schema, which reads it as missing where it is not understood", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...names), anything), (body) => {
        for (const [, schema] of schemas) (schema as { parse(value: unknown): unknown }).parse(body);
      }),
    );
  });

  it("is classified, with a bounded sentence, as a refusal", () => {
    fc.assert(
      fc.property(fc.integer({ min: 100, max: 599 }), anything, (status, body) => {
        const fault = faultOf({ status, headers: new Headers(), body: body as never }, "GET /x");
        expect(ERROR_CODES).toContain(fault.code);
        expect(fault.message.length).toBeLessThan(4_000);
        expect(messagesOf(body).length).toBeLessThanOrEqual(8);
      }),
    );
  });

  it("is one line in a sentence, without control characters", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const error = { "@Message.ExtendedInfo": [{ MessageId: text, Message: text }] };
        // biome-ignore lint/suspicious/noControlCharactersInRegex: it is them that must not be there
        expect(messagesOf({ error })[0]?.text).not.toMatch(/[\u0000-\u001f\u007f]/);
      }),
    );
  });

  it("is parsed, or refused with a sentence", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          fc.nat(500).map((n) => "[".repeat(n)),
        ),
        (text) => {
          try {
            parseJson(text);
          } catch (error) {
            expect(error).toBeInstanceOf(PitstopError);
          }
        },
      ),
    );
  });

  it("makes a wait within bounds", () => {
    fc.assert(
      fc.property(fc.oneof(fc.stringMatching(/^[ -~]*$/), fc.nat().map(String), fc.date().map(String)), (text) => {
        const ms = retryAfterMs(new Headers({ "retry-after": text }), 250, 10_000, 0);
        expect(ms).toBeGreaterThanOrEqual(0);
        expect(ms).toBeLessThanOrEqual(10_000);
      }),
    );
  });

  it("breaks a connection into a code and a sentence, whatever was thrown", () => {
    fc.assert(
      fc.property(fc.string(), fc.anything(), fc.anything(), (message, code, cause) => {
        const thrown = Object.assign(new Error(message, { cause }), { code });
        expect(ERROR_CODES).toContain(faultOfThrown(thrown, "GET /x", "h").code);
      }),
    );
  });

  it("has its UUID swapped there and back", () => {
    fc.assert(
      fc.property(fc.uuid(), (uuid) => {
        expect(swappedUuid(swappedUuid(uuid))).toBe(uuid);
        expect([uuid, null]).toContain(usableUuid(uuid.toUpperCase()));
      }),
    );
  });
});

describe("a BMC of which any one resource is arbitrary", () => {
  let bmc: FakeBmc;
  beforeAll(async () => {
    bmc = await FakeBmc.start();
  });
  afterAll(() => bmc.stop());

  const paths = ["", "/SecureBoot", "/BootOptions", "/VirtualMedia", "/SD", "/BootOptions/1", "/VirtualMedia/Cd"];
  const steps: ((control: Hands) => Promise<unknown>)[] = [
    (control) => control.readState(),
    (control) => control.arm({ via: "pxe" }),
    (control) => control.insertMedia("https://site/x.iso"),
    (control) => control.reset("GracefulShutdown"),
    (control) => control.restoreBootOrder([{ reference: "Boot0001", name: "PXE", devicePath: null }]),
  ];

  it("never makes anything throw but a PitstopError", async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...paths), anything, fc.boolean(), async (path, body, whole) => {
        const full = `/redfish/v1/Systems/1${path}`;
        const base = { ...bmc.system, PowerState: "On", Boot: bmc.boot };
        const shown = whole || path !== "" ? body : { ...base, ...(typeof body === "object" ? body : {}), UUID };
        bmc.faults.splice(0, Number.POSITIVE_INFINITY, (seen) =>
          seen.method === "GET" && seen.path.split("?")[0] === full ? { status: 200, body: shown } : undefined,
        );
        const control = await controlOf(targetOf(bmc.url, { fingerprint256: bmc.fingerprint }));
        for (const step of steps) {
          await step(control).catch((error: unknown) => expect(error).toBeInstanceOf(PitstopError));
        }
        await control.close();
      }),
      { numRuns: 60 },
    );
  });
});
