import { describe, expect, it } from "vitest";
import {
  isOwnSystem,
  leaveBy,
  mayChangeUntil,
  ObservedTarget,
  observe,
  type TargetEvent,
  type TargetState,
} from "../../workflows/target-state.js";

const STATES = {
  home: { is: "home" },
  leaving: { is: "leaving", mayObeyForMs: 210_000 },
  off: { is: "off" },
  booting: { is: "booting", attempt: 1, since: 1_000, armed: "unseen" },
  image: { is: "image", attempt: 1 },
  mute: { is: "mute", since: 2_000 },
  unknown: { is: "unknown", since: null },
  silent: { is: "unknown", since: 2_000 },
} satisfies Record<string, TargetState>;
type Name = keyof typeof STATES;

const power = (what: string, result: "done" | "refused" | "unanswered" = "done"): TargetEvent => ({
  type: "power",
  action: { at: "2026-01-01T00:00:00.000Z", what, why: "a test", result },
});

/** Each event, and the state after it: one for all states, or by the state before; `same`: the event says nothing of where the target is. */
const TABLE: [string, TargetEvent, TargetState | "same" | Partial<Record<Name, TargetState | "same">>][] = [
  ["captured, on", { type: "captured", power: "On", adopted: false }, { is: "home" }],
  ["captured, off", { type: "captured", power: "Off", adopted: false }, { is: "off" }],
  ["captured of a lost session", { type: "captured", power: "Off", adopted: true }, { is: "unknown", since: null }],
  ["asked to leave", { type: "askedToLeave", mayObeyForMs: 5 }, { is: "leaving", mayObeyForMs: 5 }],
  ["went off", { type: "wentOff" }, { is: "off" }],
  ["left alone, mute", { type: "leftAlone", mute: true, at: 9_000 }, { is: "unknown", since: 9_000 }],
  [
    "left alone",
    { type: "leftAlone", mute: false, at: 9_000 },
    {
      ...{ home: STATES.unknown, leaving: STATES.unknown, off: STATES.unknown, image: STATES.unknown },
      ...{ booting: { is: "unknown", since: 1_000 }, mute: STATES.silent, unknown: "same", silent: "same" },
    },
  ],
  ["arming", { type: "arming", attempt: 2 }, "same"],
  ["armed", { type: "armed", attempt: 1 }, { booting: { is: "booting", attempt: 1, since: 1_000, armed: "seen" } }],
  ["armed, of another attempt", { type: "armed", attempt: 2 }, "same"],
  ["the arming was refused", { type: "armRefused", attempt: 1 }, "same"],
  [
    "powering on",
    { type: "poweringOn", attempt: 2, at: 9_000 },
    { is: "booting", attempt: 2, since: 9_000, armed: "unseen" },
  ],
  ["hello", { type: "hello", attempt: 2 }, { is: "image", attempt: 2 }],
  ["home answered", { type: "homeAnswered", attempt: 1 }, "same"],
  [
    "seen home",
    { type: "seenHome" },
    {
      ...{ leaving: "same", home: STATES.home, off: STATES.home, booting: STATES.home, image: STATES.home },
      ...{ mute: STATES.home, unknown: STATES.home, silent: STATES.home },
    },
  ],
  ["left the image", { type: "leftImage" }, { is: "unknown", since: null }],
  ["sent home", { type: "sentHome" }, { is: "home" }],
  ["proof missed", { type: "proofMissed" }, { silent: { is: "mute", since: 2_000 } }],
  ["tries home", { type: "triesHome" }, "same"],
  ["a person acted", { type: "personActed" }, "same"],
  ["a power action was told", power("On"), "same"],
];

describe("the state of a target", () => {
  const pairs = TABLE.flatMap(([what, event, then]) =>
    (Object.keys(STATES) as Name[]).map((from) => {
      const to = then === "same" || "is" in then ? then : (then[from] ?? "same");
      return { what, from, event, to: to === "same" ? STATES[from] : to };
    }),
  );
  it.each(pairs)("$from, then $what", ({ from, event, to }) => {
    const before = structuredClone(STATES[from]);
    expect(observe(STATES[from], event)).toEqual(to);
    expect(STATES[from], "an event changed the state in its place").toEqual(before);
  });

  it("has each event in its table", () => {
    const types: Record<TargetEvent["type"], true> = {
      ...{
        captured: true,
        askedToLeave: true,
        wentOff: true,
        leftAlone: true,
        arming: true,
        armed: true,
        armRefused: true,
      },
      ...{ poweringOn: true, hello: true, homeAnswered: true, seenHome: true, leftImage: true, sentHome: true },
      ...{ proofMissed: true, triesHome: true, personActed: true, power: true },
    };
    expect(new Set(TABLE.map(([, event]) => event.type))).toEqual(new Set(Object.keys(types)));
  });
});

describe("how what runs is left", () => {
  const own = ["home", "leaving", "unknown", "silent"] as Name[];
  it.each(Object.keys(STATES) as Name[])("from %s: an own system is never forced, an image always is", (from) => {
    const state = STATES[from];
    expect(leaveBy(state, "off", true).by).toBe("nothing");
    expect(leaveBy(state, "image", true).by).toBe("force");
    expect(leaveBy(state, "home", true).by).toBe("leaveAlone");
    expect(leaveBy(state, "home", false).by).toBe("ask");
    expect(leaveBy(state, "unknown", true).by).toBe(own.includes(from) ? "leaveAlone" : "force");
    expect(leaveBy(state, "unknown", false).by).toBe(own.includes(from) ? "ask" : "force");
    expect(isOwnSystem(state, "unknown")).toBe(own.includes(from));
  });

  it.each([
    ["unknown", "unknown", 60_000 + 5_000],
    ["mute", "unknown", 2_000 + 60_000],
    ["booting", "off", 1_000 + 30_000],
    ["home", "off", 30_000],
    ["booting", "image", 0],
    ["home", "home", 0],
  ] as [Name, "off" | "home" | "image" | "unknown", number][])(
    "from %s, found %s: another look may find it elsewhere until %d ms",
    (from, where, until) => expect(mayChangeUntil(STATES[from], where, 60_000, 5_000)).toBe(until),
  );
});

describe("what happened to a target", () => {
  const target = (...events: TargetEvent[]) => {
    const observed = new ObservedTarget();
    for (const event of events) observed.observe(event);
    return observed;
  };

  it("says which arming may hide: asked for, and not seen done since", () => {
    expect(target().hidesArming).toBe(false);
    expect(target({ type: "arming", attempt: 1 }).hidesArming).toBe(true);
    expect(target({ type: "arming", attempt: 1 }, { type: "armed", attempt: 1 }).hidesArming).toBe(false);
    expect(target({ type: "arming", attempt: 1 }, { type: "armRefused", attempt: 1 }).hidesArming).toBe(false);
    const on: TargetEvent = { type: "poweringOn", attempt: 1, at: 1 };
    expect(target({ type: "arming", attempt: 1 }, { type: "armed", attempt: 1 }, on).hidesArming).toBe(true);
  });

  it("a power-off counts until a person may have acted", () => {
    expect(target({ type: "wentOff" }).sawOff).toBe(true);
    expect(target({ type: "wentOff" }, { type: "personActed" }).sawOff).toBe(false);
    expect(target({ type: "wentOff" }, { type: "personActed" }).wasOutOfSight).toBe(true);
    expect(target({ type: "personActed" }, { type: "wentOff" }).sawOff).toBe(true);
  });

  it("a look is needed but after a power-off, or a hello, that nothing followed", () => {
    expect(target({ type: "captured", power: "Off", adopted: false }).certain).toBeNull();
    expect(target({ type: "wentOff" }, power("ForceOff")).certain).toBe("off");
    expect(target({ type: "hello", attempt: 1 }).certain).toBe("image");
    expect(target({ type: "hello", attempt: 1 }, { type: "leftImage" }).certain).toBeNull();
    expect(target({ type: "wentOff" }, { type: "triesHome" }).certain).toBeNull();
    expect(target({ type: "wentOff" }, { type: "poweringOn", attempt: 1, at: 1 }).certain).toBeNull();
  });

  it("a shutdown may be obeyed until a power-on was needed; of a target that was off, until it is off", () => {
    const asked: TargetEvent = { type: "askedToLeave", mayObeyForMs: 7 };
    expect(target().mayObeyForMs(true, 100)).toBe(0);
    expect(target(asked, { type: "wentOff" }).mayObeyForMs(true, 100)).toBe(7);
    expect(target(asked, { type: "wentOff" }).mayObeyForMs(false, 100)).toBe(0);
    expect(target(asked, { type: "wentOff" }, power("On")).mayObeyForMs(true, 100)).toBe(0);
    expect(target(asked, { type: "wentOff" }, power("On", "unanswered")).mayObeyForMs(true, 100)).toBe(7);
  });

  it("a lost session's shutdown has the whole time, unless it was refused, or something came after it", () => {
    expect(target(power("GracefulShutdown", "unanswered")).mayObeyForMs(true, 100)).toBe(30_100);
    expect(target(power("GracefulShutdown", "refused")).mayObeyForMs(true, 100)).toBe(0);
    expect(target(power("GracefulShutdown"), power("On")).mayObeyForMs(true, 100)).toBe(0);
    expect(target(power("GracefulShutdown"), { type: "wentOff" }).mayObeyForMs(true, 100)).toBe(0);
    expect(target(power("GracefulShutdown")).movedPower).toBe(true);
  });
});
