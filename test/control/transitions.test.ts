import { describe, expect, it } from "vitest";
import type { Capabilities } from "../../src/control/control.js";
import { transitionOf, type WarmBoot, warmBoot } from "../../src/control/transitions.js";
import { PitstopError } from "../../src/domain/errors.js";
import { failure } from "./help.js";

/** A machine that restarts `afterMs` after it was asked to; null: never. */
function machine(afterMs: number | null, change: Partial<WarmBoot> = {}) {
  const happened: string[] = [];
  let now = 0;
  let restartAt = Number.POSITIVE_INFINITY;
  const boot: WarmBoot = {
    arm: async () => void happened.push("armed"),
    restart: async () => {
      happened.push("restarted");
      if (afterMs !== null) restartAt = now + afterMs;
    },
    bootId: async () => (now < restartAt ? "a" : now < restartAt + 2_000 ? null : "b"),
    limitMs: 60_000,
    sleep: async (ms) => {
      now += ms;
    },
    now: () => now,
    ...change,
  };
  return { boot, happened, elapsedMs: () => now };
}

describe("a warm boot", () => {
  it("is armed before it restarts, and proved by a new boot id alone", async () => {
    const { boot, happened } = machine(5_000);
    expect(await warmBoot(boot)).toEqual({ before: "a", after: "b" });
    expect(happened).toEqual(["armed", "restarted"]);
  });

  it("is not proved by the system that answered before", async () => {
    const { boot, elapsedMs } = machine(null);
    const error = await failure(warmBoot(boot));
    expect(error.code).toBe("unreachable");
    expect(error.message).toContain("within 60 s");
    expect(elapsedMs()).toBe(60_000);
  });

  it("is waited for where the answer to the restart was lost, and not where it was refused", async () => {
    const lost = machine(5_000);
    const restart = lost.boot.restart;
    lost.boot.restart = async () => {
      await restart();
      throw new PitstopError("unreachable", "the answer was lost");
    };
    expect((await warmBoot(lost.boot)).after).toBe("b");
    const refused = machine(null, { restart: () => Promise.reject(new PitstopError("refused", "not now")) });
    expect((await failure(warmBoot(refused.boot))).message).toBe("not now");
  });

  it("arms nothing where no system answers that could restart", async () => {
    const { boot, happened } = machine(null, { bootId: async () => null });
    expect((await failure(warmBoot(boot))).code).toBe("refused");
    expect(happened).toEqual([]);
  });

  it("is the way of a control that cannot read the power, and of no other", () => {
    expect(transitionOf({ power: null } as Capabilities)).toBe("warm");
    expect(transitionOf({ power: {} } as Capabilities)).toBe("cold");
  });
});
