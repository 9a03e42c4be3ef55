import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadConfig } from "../../src/config.js";
import { payloadKeys, refuseChangedKeys } from "../../workers/payload-keys.js";

let data: string;
beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), "pitstop-keys-"));
  mkdirSync(join(data, "keys"));
});
afterEach(() => rmSync(data, { recursive: true, force: true }));

const key = () => randomBytes(32).toString("base64");
const config = (setting: string) => loadConfig({ PITSTOP_DATA: data, PITSTOP_PAYLOAD_KEY: setting }, data);
const fromFile = (text: string) => {
  writeFileSync(join(data, "keys", "payload"), text);
  return payloadKeys(config("{file: keys/payload}"));
};

describe("the keys of histories", () => {
  it("are none without the setting", async () => {
    expect((await payloadKeys(loadConfig({ PITSTOP_DATA: data }, data))).current).toBeNull();
  });

  it("come from a file: the first line encrypts, every line decrypts", async () => {
    const keys = await fromFile(`# since March\nk2:${key()}\n\nk1:${key()}\n`);
    expect([keys.current, ...keys.all.keys()]).toEqual(["k2", "k2", "k1"]);
    expect([...keys.all.values()].map((one) => one.length)).toEqual([32, 32]);
  });

  it("come from a program, and from pitstop.yaml as a mapping", async () => {
    writeFileSync(join(data, "pitstop.yaml"), `payload_key: {exec: [/bin/echo, "k1:${key()}"]}\n`);
    const read = loadConfig({ PITSTOP_DATA: data }, data);
    expect((await payloadKeys(read)).current).toBe("k1");
  });

  it.each([
    ["k1:dG9vIHNob3J0\n", /Its line 1 is not "id:base64 of 32 bytes"; make one by: echo/],
    ["", /There is no key in it; make one by/],
    [`k1:${key()}\nk1:${key()}\n`, /Two of its keys have the id "k1"/],
  ])("that are no keys are refused in a sentence that shows none of it", async (text, sentence) => {
    const error = await fromFile(text).catch((problem: Error) => problem.message);
    expect(error).toMatch(sentence);
    for (const part of text.split(/[:\n]/).filter((word) => word.length > 8)) expect(error).not.toContain(part);
  });

  it("are never given themselves", async () => {
    const secret = key();
    const error = await payloadKeys(config(`k1:${secret}`)).catch((problem: Error) => problem.message);
    expect(error).toMatch(/^The setting PITSTOP_PAYLOAD_KEY is not usable: It is a reference/);
    expect(error).not.toContain(secret);
    await expect(payloadKeys(config("{file: keys/none}"))).rejects.toThrow(/keys\/none/);
  });

  it("may be added to, and one that has changed under its id is refused at the start", async () => {
    const [first, second] = [`k1:${key()}`, `k2:${key()}`];
    const seen = config("{file: keys/payload}");
    await refuseChangedKeys(seen, await fromFile(first));
    await refuseChangedKeys(seen, await fromFile(`${second}\n${first}`));
    await expect(refuseChangedKeys(seen, await fromFile(`k1:${key()}`))).rejects.toThrow(
      'The setting PITSTOP_PAYLOAD_KEY is not usable: The key "k1" is not the one that this server has used under that id; put the old one back, and give the new key an id of its own on a line above it.',
    );
    const kept = readFileSync(join(data, "payload-keys.json"), "utf8");
    expect(kept).not.toContain(first.slice(3));
  });
});
