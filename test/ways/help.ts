import type { BootChoice, Capabilities } from "../../src/control/control.js";
import type { Reading } from "../../src/domain/reading.js";
import type { Target } from "../../src/domain/target.js";
import type { ArmOrder, Seen } from "../../src/ways/way.js";
import { target } from "../catalogue/samples.js";

/** A target with this `boot`. */
export const booting = (boot: Record<string, unknown> = {}): Target =>
  target("r1-n07", 7, { boot: { firmware: "uefi", via: ["pxe"], ...boot } });

export interface Asked {
  can: Capabilities;
  /** What the control was asked, in order. */
  asked: (BootChoice | { insert: string; verify: boolean })[];
}

interface Has {
  override?: boolean;
  media?: boolean;
  verifies?: boolean;
  networkFirst?: Reading<boolean>;
}

/** A control that does what it is asked, and has no more than this. */
export function control({ override = true, media = true, verifies = true, networkFirst }: Has = {}): Asked {
  const asked: Asked["asked"] = [];
  const can = {
    nextBoot: override
      ? {
          arm: async (choice: BootChoice) => {
            asked.push(choice);
            return { override: {}, notes: ["armed"] };
          },
        }
      : null,
    media: media
      ? {
          insert: async (insert: string, { verify }: { verify: boolean }) => {
            asked.push({ insert, verify });
            return { verified: verifies };
          },
        }
      : null,
    bootOrder: networkFirst === undefined ? null : { asksNetworkFirst: async () => networkFirst },
  } as unknown as Capabilities;
  return { can, asked };
}

export const order = (of: Target = booting(), verify = false): ArmOrder => ({
  target: of,
  urls: {
    httpBootUri: "http://site/u/x/snponly.efi",
    scriptUrl: "http://site/boot.ipxe",
    mediaUrl: "https://site/m/x/base.iso",
  },
  verify,
});

/** A boot of which nothing was seen but this. */
export const seen = (more: Partial<Seen> = {}): Seen => ({
  power: "On",
  scriptFetched: false,
  kernelFetched: false,
  initrdFetched: false,
  homeAnswering: false,
  bootProgress: null,
  ...more,
});

export const NOTHING_KNOWN = { bmcUrl: null, bmcVerifies: null };
