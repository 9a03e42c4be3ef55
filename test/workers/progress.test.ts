import { describe, expect, it } from "vitest";
import { EventBus, type PitstopEvent } from "../../src/api/events.js";
import { Watch } from "../../workers/progress.js";
import { record } from "../catalogue/samples.js";

const plan = { session: "s1", target: { name: "t1" } };

/** The phases that a watcher of the session sees begin, from those that its first record had. */
function watched(tell: (watch: Watch) => void): string[] {
  const events = new EventBus();
  const seen: PitstopEvent[] = [];
  events.subscribe((event) => void seen.push(event));
  const watch = new Watch(events);
  const phases = [{ name: "capturing" as const, startedAt: "2026-01-01T00:00:00.000Z", endedAt: null }];
  watch.recorded(record("s1", "t1", { phase: "capturing", phases }));
  tell(watch);
  const last = seen.filter((event) => event.type === "session.phase").at(-1);
  return last?.phases.map(({ name }) => name) ?? [];
}

describe("the watch", () => {
  it("tells that a target leaves when its system is asked to go, and that work begins with the hello", () => {
    const seen = watched((watch) => {
      for (const name of ["stageImage", "armTarget"]) watch.begins(name, { plan });
      watch.begins("ensureOff", { plan, running: "home" });
      watch.begins("ensureOn", { plan, epoch: 1 });
      watch.hello("s1", "t1");
      watch.begins("offerTask", { plan });
    });
    expect(seen).toEqual(["capturing", "staging", "arming", "rebooting", "working"]);
  });

  it("tells that a target leaves when it had been off, and that a power-on homewards is no departure", () => {
    const seen = watched((watch) => {
      watch.begins("armTarget", { plan });
      watch.begins("ensureOff", { plan, running: "image" });
      watch.begins("ensureOn", { plan, epoch: 1 });
      watch.begins("restoreBoot", { plan });
      watch.begins("ensureOn", { plan, epoch: null });
    });
    expect(seen).toEqual(["capturing", "arming", "rebooting", "restoring"]);
  });

  it("says nothing of a session that it has no record of", () => {
    const events = new EventBus();
    const seen: PitstopEvent[] = [];
    events.subscribe((event) => void seen.push(event));
    new Watch(events).hello("s1", "t1");
    expect(seen).toEqual([]);
  });

  it("forgets the oldest of very many sessions whose end nobody told", () => {
    const events = new EventBus();
    const watch = new Watch(events);
    const phases = [{ name: "capturing" as const, startedAt: "2026-01-01T00:00:00.000Z", endedAt: null }];
    for (let i = 0; i <= 4_096; i++) watch.recorded(record(`lost-${i}`, "t1", { phase: "capturing", phases }));
    const seen: PitstopEvent[] = [];
    events.subscribe((event) => void seen.push(event));
    watch.hello("lost-0", "t1");
    watch.hello("lost-4096", "t1");
    expect(seen.map((event) => "session" in event && event.session)).toEqual(["lost-4096"]);
  });
});
