import { describe, expect, it } from "vitest";
import { perTier, seed } from "../support/tier.js";
import { simulate, told } from "./runner.js";

const SEEDS = perTier("seeds of an absence in each phase", { fast: 1, deep: 50 });
const PHASES = ["capturing", "staging", "arming", "rebooting", "working", "restoring", "verifying"];

/** In virtual time: away for 40 minutes from the moment on in which the phase begins, and nothing else goes wrong. */
describe("a site or BMC that is away for 40 minutes", () => {
  const cuts = ["bmc", "site"].flatMap((who) => PHASES.map((phase) => ({ who, phase })));
  it.each(cuts)(
    "in $phase: the $who calls nobody, and every target comes home when it is back",
    { timeout: 600_000 },
    async ({ who, phase }) => {
      const report = await simulate("--cut", `${who}:${phase}`, "--seed", String(seed), "--seeds", String(SEEDS));
      expect(told(report.broken)).toBe("");
      expect(report.phases).toContain(phase);
      expect(report.phases).not.toContain("stranded");
    },
  );
});
