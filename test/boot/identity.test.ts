import { describe, expect, it } from "vitest";
import { clashesOf, identityKeys } from "../../src/catalogue/identity.js";
import { fits, usableMac, usableUuid } from "../../src/domain/machine-identity.js";
import { Target } from "../../src/domain/target.js";
import { target } from "../catalogue/samples.js";
import { planOf, sites } from "./help.js";

/** One rule for what a UUID is worth, wherever a machine is recognised. */

const newSite = sites();
const UUID = "0b1c2d3e-4f50-4161-8273-8495a6b7c8d9";
const SWAPPED = "3e2d1c0b-504f-6141-8273-8495a6b7c8d9";
const MAC = "02:00:5e:00:53:07";
const SHARED = [
  "03000200-0400-0500-0006-000700080009",
  "00020003-0004-0005-0006-000700080009",
  "12345678-1234-5678-90AB-CDDEEFAABBCC",
  "ffffffff-ffff-ffff-ffff-ffffffffffff",
  "00000000-0000-0000-0000-000000000000",
];

describe("a UUID that many boards share", () => {
  it.each(SHARED)("proves nothing, so that the MAC address decides for boot script and hello: %s", async (uuid) => {
    expect(usableUuid(uuid)).toBeNull();
    const site = await newSite();
    await site.publish(planOf({ uuid: UUID, macs: [MAC], firmware: "uefi" }));
    const script = await site.get(`/boot.ipxe?platform=efi&mac=${MAC.replaceAll(":", "-")}&uuid=${uuid}&serial=`);
    const nonce = /\/b\/([^/]+)\/vmlinuz/.exec(script.text)?.[1];
    expect(nonce, script.text).toBeDefined();
    expect((await site.hello(nonce as string, { uuid, macs: ["02:00:5e:00:53:99"] })).status).toBe(403);
    expect((await site.hello(nonce as string, { uuid, macs: [MAC] })).status).toBe(200);
  });

  it("claims nothing in the catalogue, and identifies no target by itself", () => {
    const uuid = SHARED[0];
    expect(identityKeys(target("a", 1, { identity: { uuid, macs: [MAC] } }))).not.toContain(`uuid:${uuid}`);
    const { success, error } = Target.safeParse({ ...target("a", 1), identity: { uuid, macs: [] } });
    expect(success).toBe(false);
    expect(error?.issues[0]?.message).toContain("many boards share");
  });
});

describe("a UUID in the other byte order", () => {
  it("is the same machine for boot script and hello, and claims it in the catalogue", async () => {
    const site = await newSite();
    await site.publish(planOf({ uuid: UUID, macs: [], firmware: "uefi" }));
    const script = await site.get(`/boot.ipxe?platform=efi&mac=&uuid=${SWAPPED}&serial=`);
    const nonce = /\/b\/([^/]+)\/vmlinuz/.exec(script.text)?.[1] as string;
    expect((await site.hello(nonce, { uuid: SWAPPED, macs: [] })).status).toBe(200);
    const [one, other] = [UUID, SWAPPED].map((uuid) => identityKeys(target("a", 1, { identity: { uuid, macs: [] } })));
    expect(clashesOf(one as string[]).keys).toEqual(expect.arrayContaining([`uuid:${UUID}`, `uuid:${SWAPPED}`]));
    expect(clashesOf(other as string[]).keys).toContain(`uuid:${UUID}`);
  });
});

describe("a MAC address", () => {
  it("of zeros or Fs proves nothing, and one that moved takes no session along", () => {
    expect([usableMac("00:00:00:00:00:00"), usableMac("FF-FF-FF-FF-FF-FF"), usableMac("x")]).toEqual([
      null,
      null,
      null,
    ]);
    expect(usableMac("02-00-5E-00-53-07")).toBe(MAC);
    const identity = { uuid: UUID, macs: [MAC] };
    expect(fits(identity, { uuid: null, macs: ["02-00-5E-00-53-07"] })).toBe(true);
    expect(fits(identity, { uuid: "1b1c2d3e-4f50-4161-8273-8495a6b7c8d9", macs: [MAC] })).toBe(false);
  });
});
