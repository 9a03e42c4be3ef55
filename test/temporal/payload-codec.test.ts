import { randomBytes } from "node:crypto";
import type { Payload } from "@temporalio/common";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import "../support/seeded.js";
import { isSealed, NO_KEYS, openAll, SealedPayloads } from "../../src/temporal/payload-codec.js";

const [k1, k2] = [randomBytes(32), randomBytes(32)];
const with1 = new SealedPayloads({ current: "k1", all: new Map([["k1", k1]]) });
const rotated = new SealedPayloads({
  current: "k2",
  all: new Map([
    ["k2", k2],
    ["k1", k1],
  ]),
});
const without = new SealedPayloads(NO_KEYS);
const plain: Payload = { metadata: { encoding: Buffer.from("json/plain") }, data: Buffer.from('"r1-n07"') };
const asText = (payload: Payload) => Buffer.from(payload.data ?? []).toString("latin1");

async function one(codec: SealedPayloads, does: "encode" | "decode", payload: Payload): Promise<Payload> {
  const [result] = await codec[does]([payload]);
  if (!result) throw new Error("no payload");
  return result;
}

describe("payloads of histories", () => {
  it("are what they were when they have been encrypted and decrypted, whatever is in them", async () => {
    const bytes = fc.uint8Array({ maxLength: 300 });
    await fc.assert(
      fc.asyncProperty(fc.dictionary(fc.string({ maxLength: 20 }), bytes), bytes, async (metadata, data) => {
        const back = await one(with1, "decode", await one(with1, "encode", { metadata, data }));
        expect(Buffer.from(back.data ?? []).equals(data)).toBe(true);
        const same = Object.entries(metadata).map(([name, value]) =>
          Buffer.from(back.metadata?.[name] ?? []).equals(value),
        );
        expect(same).not.toContain(false);
      }),
      { numRuns: 200 },
    );
  });

  it("hold nothing in each of the ways in which the SDK says so", async () => {
    for (const data of [undefined, null, [] as unknown as Uint8Array]) {
      const nothing: Payload = {
        metadata: { encoding: Buffer.from("binary/null") },
        ...(data === undefined ? {} : { data }),
      };
      expect(await one(with1, "decode", await one(with1, "encode", nothing))).toEqual({
        metadata: nothing.metadata,
        data: Buffer.alloc(0),
      });
    }
  });

  it("show nothing of what is in them, and never look the same twice", async () => {
    const [first, second] = await with1.encode([plain, plain]);
    if (!first || !second) throw new Error("no payloads");
    expect(isSealed(first)).toBe(true);
    expect(asText(first)).not.toContain("r1-n07");
    expect(asText(first)).not.toEqual(asText(second));
  });

  it("of an earlier key are read after a rotation, and new ones have the new key", async () => {
    expect(await one(rotated, "decode", await one(with1, "encode", plain))).toMatchObject({ data: plain.data });
    const sealed = await one(rotated, "encode", plain);
    expect(Buffer.from(sealed.metadata?.["encryption-key-id"] ?? []).toString()).toBe("k2");
    await expect(one(with1, "decode", sealed)).rejects.toThrow(
      'A session\'s history is encrypted with the payload key "k2", and the keys here are: k1. Give PITSTOP_PAYLOAD_KEY that key too.',
    );
  });

  it("in plain text are read as they are, with and without keys", async () => {
    for (const codec of [with1, without]) expect(await one(codec, "decode", plain)).toBe(plain);
    expect(await one(without, "encode", plain)).toBe(plain);
  });

  it("that are encrypted are refused without keys", async () => {
    await expect(one(without, "decode", await one(with1, "encode", plain))).rejects.toThrow(/the keys here are: none/);
  });

  it("that were changed, cut off, or encrypted with another key of that id are refused", async () => {
    const sealed = await one(with1, "encode", plain);
    const data = Buffer.from(sealed.data ?? []);
    const changed = Buffer.from(data);
    changed[20] = (changed[20] ?? 0) ^ 1;
    for (const bad of [changed, data.subarray(0, 20), Buffer.alloc(0)]) {
      await expect(one(with1, "decode", { ...sealed, data: bad })).rejects.toThrow(/another payload key "k1"/);
    }
    const impostor = new SealedPayloads({ current: "k1", all: new Map([["k1", k2]]) });
    await expect(one(impostor, "decode", sealed)).rejects.toThrow(/another payload key "k1"/);
  });

  it("are found wherever they lie in what came from Temporal", async () => {
    const sealed = await one(with1, "encode", plain);
    const history = { events: [{ input: { payloads: [sealed, plain] } }, { failure: { encodedAttributes: sealed } }] };
    expect(await openAll(history, with1)).toBe(2);
    await expect(openAll(history, without)).rejects.toThrow(/payload key "k1"/);
  });
});
