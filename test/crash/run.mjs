// node test/crash/run.mjs: the crash matrix by hand. `--whole` kills each victim at every point; without it, a sample;
// `--qemu N` has N cases on emulated machines.
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    whole: { type: "boolean", default: false },
    qemu: { type: "string" },
    times: { type: "string", default: "1" },
    victim: { type: "string" },
    case: { type: "string" },
    seed: { type: "string" },
    report: { type: "string" },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(`node test/crash/run.mjs [--whole [--times N]] [--victim V,V] [--seed S] [--report FILE]
node test/crash/run.mjs --victim V --case "SCENARIO: before|after POINT #N"
node test/crash/run.mjs --qemu 20 [--victim V,V] [--seed S] [--report FILE]

victims: serve, temporal, site, agent, machine, everything, central (the server alone, beside a site that lives), database`);
  process.exit(0);
}
const root = resolve(import.meta.dirname, "../..");
const env = {
  ...process.env,
  ...(values.whole ? { PITSTOP_CRASH: "whole" } : {}),
  PITSTOP_CRASH_TIMES: values.times,
  ...(values.qemu ? { PITSTOP_CRASH_QEMU: values.qemu } : {}),
  ...(values.victim ? { PITSTOP_CRASH_VICTIMS: values.victim } : {}),
  ...(values.case ? { PITSTOP_CRASH_CASE: values.case } : {}),
  ...(values.seed ? { PITSTOP_SEED: values.seed } : {}),
  ...(values.report ? { PITSTOP_CRASH_REPORT: resolve(values.report) } : {}),
};
const vitest = resolve(root, "node_modules/vitest/vitest.mjs");
const emulated = values.qemu || values.case?.startsWith("qemu-");
const which = emulated ? ["--config", "test/crash/qemu.config.ts"] : ["--mode", "deep", "test/crash/matrix.test.ts"];
const ran = spawnSync(process.execPath, [vitest, "run", ...which], { cwd: root, env, stdio: "inherit" });
process.exit(ran.status ?? 1);
