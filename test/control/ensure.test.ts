import { describe, expect, it, vi } from "vitest";
import { powerOf } from "../../src/control/boot-state.js";
import type { Power, ResetKind } from "../../src/control/control.js";
import { ensureOff, ensureOn } from "../../src/control/ensure.js";
import { PitstopError } from "../../src/domain/errors.js";
import type { PowerState } from "../../src/domain/snapshot.js";
import { connect, failure, startBmc } from "./help.js";

const lost = () => new PitstopError("unreachable", "no answer");

/** A machine of which only the power matters, with a clock that runs only while it is slept. */
class Fake {
  now = 0;
  power: PowerState = "On";
  asked: ResetKind[] = [];
  readings = 0;
  onReset: (kind: ResetKind) => void = () => undefined;
  onPower: () => void = () => undefined;
  readonly options = {
    why: "test",
    now: () => this.now,
    sleep: async (ms: number) => {
      this.now += Math.max(ms, 1);
    },
  };
  readonly control = {
    read: async () => {
      this.readings++;
      this.onPower();
      return this.power;
    },
    reset: async (kind: ResetKind) => {
      this.asked.push(kind);
      this.onReset(kind);
    },
  } as unknown as Power;
}

describe("what is noted", () => {
  const noting = (fake: Fake) => {
    const noted: string[] = [];
    const note = async ({ what, result }: { what: string; result: string }) =>
      void noted.push(`${what} ${result} at ${fake.asked.length}`);
    return { noted, options: { ...fake.options, note } };
  };

  it("is there before the machine is asked, and says afterwards what became of it", async () => {
    const fake = new Fake();
    fake.onReset = () => {
      fake.power = "Off";
    };
    const { noted, options } = noting(fake);
    await ensureOff(fake.control, { mode: "force" }, options);
    expect(noted).toEqual(["ForceOff unanswered at 0", "ForceOff done at 1"]);
  });

  it("stays unanswered where the answer was lost, and is refused where the machine refused", async () => {
    const fake = new Fake();
    fake.onReset = () => {
      fake.power = "Off";
      throw lost();
    };
    const first = noting(fake);
    await ensureOff(fake.control, { mode: "force" }, first.options);
    expect(first.noted).toEqual(["ForceOff unanswered at 0"]);
    fake.onReset = () => {
      throw new PitstopError("refused", "no");
    };
    const second = noting(fake);
    await expect(ensureOn(fake.control, second.options)).rejects.toMatchObject({ code: "refused" });
    expect(second.noted).toEqual(["On unanswered at 1", "On refused at 2"]);
  });

  it("is not asked for where it cannot be noted", async () => {
    const fake = new Fake();
    const note = async () => Promise.reject(new Error("the disk is full"));
    await expect(ensureOff(fake.control, { mode: "force" }, { ...fake.options, note })).rejects.toThrow("full");
    expect(fake.asked).toEqual([]);
  });

  it("never keeps a target off, though it cannot be saved", async () => {
    const fake = new Fake();
    fake.power = "Off";
    fake.onReset = () => {
      fake.power = "On";
    };
    const note = async () => Promise.reject(new Error("the disk is full"));
    const { actions } = await ensureOn(fake.control, { ...fake.options, note });
    expect(actions).toMatchObject([{ what: "On", result: "done" }]);
    expect(fake.power).toBe("On");
  });
});

const GRACEFUL = { mode: "graceful", gracefulMs: 180_000, gracefulText: "180s", then: "abort" } as const;

describe("off", () => {
  it("is left alone where it is so already", async () => {
    const fake = new Fake();
    fake.power = "Off";
    expect(await ensureOff(fake.control, GRACEFUL, fake.options)).toEqual({ actions: [], tookMs: 0 });
    expect(fake.asked).toEqual([]);
  });

  it("is waited for as long as was said, though the host's clock is set back by an hour meanwhile", async () => {
    const fake = new Fake();
    const real = Date.now();
    const clock = vi.spyOn(Date, "now").mockImplementation(() => real - (fake.readings > 1 ? 3_600_000 : 0));
    try {
      const how = { ...GRACEFUL, gracefulMs: 300 };
      expect(await failure(ensureOff(fake.control, how, { why: "test" }))).toMatchObject({ code: "refused" });
    } finally {
      clock.mockRestore();
    }
  });

  it("is asked of the system once, and waited for", async () => {
    const fake = new Fake();
    fake.onPower = () => {
      if (fake.now > 60_000) fake.power = "Off";
    };
    const { actions, tookMs } = await ensureOff(fake.control, GRACEFUL, fake.options);
    expect(actions).toEqual([{ at: new Date(0).toISOString(), what: "GracefulShutdown", why: "test", result: "done" }]);
    expect(tookMs).toBeGreaterThan(60_000);
    expect(tookMs).toBeLessThan(63_000);
    expect(fake.readings).toBeLessThan(50);
  });

  it("is noticed within a tenth of a second where the machine is quick", async () => {
    const fake = new Fake();
    fake.onReset = () => {
      fake.power = "Off";
    };
    expect((await ensureOff(fake.control, GRACEFUL, fake.options)).tookMs).toBe(100);
  });

  it("is given up at the deadline where the owner did not allow force", async () => {
    const fake = new Fake();
    const error = await failure(ensureOff(fake.control, GRACEFUL, fake.options));
    expect(error.code).toBe("refused");
    expect(error.message).toContain("did not power off within 180s");
    expect(error.facts).toEqual({
      powerActions: [expect.objectContaining({ what: "GracefulShutdown" })],
      mayObeyMs: 0,
    });
    expect(fake.asked).toEqual(["GracefulShutdown"]);
    expect(fake.now).toBe(180_000);
  });

  it("that is given up tells how much of its time the system still has, from when it was asked last", async () => {
    const fake = new Fake();
    let asks = 0;
    fake.onReset = () => {
      if (asks++ === 0) throw new PitstopError("unreachable", "the answer was lost");
    };
    const error = await failure(ensureOff(fake.control, GRACEFUL, fake.options));
    // It was asked again after 30 s, with the next reading: those come every 2 s.
    expect(error.facts.mayObeyMs).toBeGreaterThanOrEqual(30_000);
    expect(error.facts.mayObeyMs).toBeLessThanOrEqual(32_000);
  });

  it("is forced at the deadline where the owner allowed it", async () => {
    const fake = new Fake();
    fake.onReset = (kind) => {
      if (kind === "ForceOff") fake.power = "Off";
    };
    const { actions } = await ensureOff(fake.control, { ...GRACEFUL, then: "force" }, fake.options);
    expect(actions.map((action) => action.what)).toEqual(["GracefulShutdown", "ForceOff"]);
  });

  it("is forced at once where the BMC has no graceful shutdown and the owner allowed force", async () => {
    const fake = new Fake();
    fake.onReset = (kind) => {
      if (kind === "GracefulShutdown") throw new PitstopError("refused", "not offered");
      fake.power = "Off";
    };
    await ensureOff(fake.control, { ...GRACEFUL, then: "force" }, fake.options);
    expect(fake.now).toBe(100);
    fake.power = "On";
    expect((await failure(ensureOff(fake.control, GRACEFUL, fake.options))).message).toBe("not offered");
  });

  it("is read, not asked for again, when the answer to a reset was lost", async () => {
    const fake = new Fake();
    fake.onReset = () => {
      fake.power = "Off";
      throw lost();
    };
    const { actions } = await ensureOff(fake.control, { mode: "force" }, fake.options);
    expect(actions).toMatchObject([{ what: "ForceOff", result: "unanswered" }]);
    expect(fake.asked).toEqual(["ForceOff"]);
  });

  it("is asked for once where the BMC took the request and is slow", async () => {
    const fake = new Fake();
    fake.onPower = () => {
      if (fake.now > 30_000) fake.power = "Off";
    };
    await ensureOff(fake.control, { mode: "force" }, fake.options);
    expect(fake.asked).toEqual(["ForceOff"]);
  });

  it("is asked for again only after a reading that says that nothing happened", async () => {
    const fake = new Fake();
    fake.onReset = () => {
      if (fake.asked.length < 3) throw lost();
      fake.power = "Off";
    };
    await ensureOff(fake.control, { mode: "force" }, fake.options);
    expect(fake.asked).toEqual(["ForceOff", "ForceOff", "ForceOff"]);
    expect(fake.readings).toBeGreaterThanOrEqual(4);
  });

  it("is not hammered out of a BMC that answers nothing", async () => {
    const fake = new Fake();
    fake.onReset = () => {
      throw lost();
    };
    expect((await failure(ensureOff(fake.control, { mode: "force" }, fake.options))).code).toBe("unreachable");
    expect(fake.asked).toHaveLength(5);
  });

  it("survives readings that fail for a while", async () => {
    const fake = new Fake();
    fake.onPower = () => {
      if (fake.now > 1_000 && fake.now < 20_000) throw lost();
      if (fake.now >= 20_000) fake.power = "Off";
    };
    await ensureOff(fake.control, GRACEFUL, fake.options);
    expect(fake.asked).toHaveLength(1);
  });

  it("is not asked for at all where the caller has given up before", async () => {
    const fake = new Fake();
    const signal = AbortSignal.abort(new Error("cancelled"));
    await expect(ensureOff(fake.control, GRACEFUL, { ...fake.options, signal })).rejects.toThrow("cancelled");
    expect(fake.asked).toEqual([]);
  });

  it("ends between two readings when the caller gives up, its write answered", async () => {
    const fake = new Fake();
    const abort = new AbortController();
    fake.onPower = () => {
      if (fake.now > 5_000) abort.abort(new Error("cancelled"));
    };
    await expect(ensureOff(fake.control, GRACEFUL, { ...fake.options, signal: abort.signal })).rejects.toThrow(
      "cancelled",
    );
    expect(fake.asked).toEqual(["GracefulShutdown"]);
  });
});

describe("on", () => {
  it("is left alone where it is so already, and reached where not", async () => {
    const fake = new Fake();
    expect((await ensureOn(fake.control, fake.options)).actions).toEqual([]);
    fake.power = "Off";
    fake.onReset = () => {
      fake.power = "On";
    };
    expect((await ensureOn(fake.control, fake.options)).actions.map((action) => action.what)).toEqual(["On"]);
  });

  it("is asked for again where the BMC says that it is too early", async () => {
    const bmc = await startBmc((b) => {
      b.system.Manufacturer = "Dell Inc.";
      b.power = "Off";
      let left = 2;
      b.faults.push(({ path }) => (path.endsWith(".Reset") && left-- > 0 ? { status: 409 } : undefined));
    });
    const { actions } = await ensureOn(powerOf(await (await connect(bmc)).can()), { why: "test" });
    expect(actions.map((action) => action.result)).toEqual(["unanswered", "unanswered", "done"]);
  });

  it("is not asked for twice when the socket drops after the reset took effect", async () => {
    const bmc = await startBmc((b) => {
      b.power = "Off";
      b.faults.push(({ path }) => {
        if (!path.endsWith(".Reset")) return undefined;
        b.power = "On";
        return "drop";
      });
    });
    await ensureOn(powerOf(await (await connect(bmc)).can()), { why: "test" });
    expect(bmc.count("POST", /Reset$/)).toBe(1);
  });
});
