import { describe, expect, it } from "vitest";
import { armNextBoot } from "../../src/ways/network-first.js";
import { booting, control } from "./help.js";

const allowed = booting({ allow: ["network-first-order"] });

describe("a machine without a boot override", () => {
  it("boots by its order where its owner allows that and the order asks the network first", async () => {
    for (const networkFirst of [true, { absent: true as const }]) {
      const { can, asked } = control({ override: false, networkFirst });
      const { notes, override } = await armNextBoot(can, allowed, { via: "pxe" });
      expect(notes).toEqual([expect.stringContaining("the boot server alone decides")]);
      expect(override.enabled).toBe("Disabled");
      expect(asked).toEqual([]);
    }
  });

  it.each([
    ["without its owner's leave", booting(), { networkFirst: true }, "allow network-first-order"],
    ["where the order asks the disk first", allowed, { networkFirst: false }, "does not ask the network first"],
    ["where the order cannot be read", allowed, { networkFirst: { unreadable: "It is 7." } }, "It is 7."],
  ])("is refused %s", async (_, target, has, sentence) => {
    const { can } = control({ override: false, ...has });
    const error = { code: "refused", message: expect.stringContaining(sentence) };
    await expect(armNextBoot(can, target, { via: "pxe" })).rejects.toMatchObject(error);
  });

  it.each([{ via: "uefi-http", uri: "http://site/x" } as const, { via: "virtual-media" } as const])(
    "does not boot by %j",
    async (choice) => {
      const { can } = control({ override: false, networkFirst: true });
      await expect(armNextBoot(can, allowed, choice)).rejects.toThrow("boots by pxe alone");
    },
  );
});

it("a machine with a boot override is armed by that", async () => {
  const { can, asked } = control();
  await armNextBoot(can, booting(), { via: "pxe" });
  expect(asked).toEqual([{ via: "pxe" }]);
});
