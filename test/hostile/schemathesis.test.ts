import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, it } from "vitest";
import { cacheFolder } from "../../src/cache-folder.js";
import { type Rig, startRig, TOKEN } from "../api/running.js";
import { perTier, seed } from "../support/tier.js";
import { schemathesis } from "./schemathesis.js";

/** An answer with a status, a type or a body that the description does not have is a lie to whoever is written after it. */
const CHECKS = [
  "not_a_server_error",
  "status_code_conformance",
  "content_type_conformance",
  "response_headers_conformance",
  "response_schema_conformance",
  "ignored_auth",
  "negative_data_rejection",
];
const EXAMPLES = perTier("examples of a request", { fast: 4, deep: 16 }) * Number(process.env.PITSTOP_FUZZ_RUNS ?? 1);

let program: string;
let rig: Rig;
beforeAll(async () => {
  [program, rig] = await Promise.all([schemathesis(), startRig()]);
}, 600_000);
afterAll(() => rig?.stop());

const attack = (url: string) =>
  execa(
    program,
    [
      ...["run", `${url}/openapi.json`, "--header", `Authorization: Bearer ${TOKEN}`, "--seed", String(seed)],
      ...[
        "--checks",
        CHECKS.join(","),
        "--phases",
        "fuzzing",
        "--max-examples",
        String(EXAMPLES),
        "--continue-on-failure",
      ],
      // A stream of events never ends; and how long a busy host takes is no finding.
      ...["--exclude-path", "/api/v1/events", "--suppress-health-check", "all", "--request-timeout", "60"],
      ...["--no-shrink", "--generation-database", "none", "--no-color"],
    ],
    // What it keeps between runs does not belong into the repository.
    {
      reject: false,
      all: true,
      timeout: 560_000,
      env: { HYPOTHESIS_STORAGE_DIRECTORY: join(cacheFolder(), "hypothesis") },
    },
  );

it("answers whatever its own description allows, and what it does not allow, as the description says", {
  timeout: 600_000,
}, async () => {
  const { exitCode, all } = await attack(rig.api.url);
  expect(exitCode, `run it again with PITSTOP_SEED=${seed}\n${all}`).toBe(0);
  const tested = Number(/Tested: (\d+)/.exec(all)?.[1]);
  const generated = Number(/(\d+) generated/.exec(all)?.[1]);
  expect(tested, all).toBeGreaterThan(25);
  expect(generated, all).toBeGreaterThan(100);
});
