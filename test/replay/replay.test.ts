import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { Worker } from "@temporalio/worker";
import { DeterminismViolationError } from "@temporalio/workflow";
import { beforeAll, describe, expect, test } from "vitest";
import { afterActivity, changed } from "../support/changed-workflows.js";
import { workflowBundle } from "../support/temporal.js";
import { everything, kept, releases, storiesOf } from "./kept.js";

/** What a release must have shown before it is one: each way through a session, and a campaign. */
const STORIES = [
  "abort",
  "active",
  "approved",
  "campaign",
  "passive",
  "reboot",
  "released",
  "restore-only",
  "resume",
  "stranded",
  "supplied",
];

let code: string;
beforeAll(async () => {
  code = (await workflowBundle()).code;
}, 120_000);

async function replay(bundle: string, { workflowId, history }: ReturnType<typeof kept>): Promise<void> {
  await Worker.runReplayHistory({ workflowBundle: { code: bundle } }, history, workflowId);
}

describe("the histories of each release", () => {
  test("are kept for the version that this is, and for every story", () => {
    const { version } = JSON.parse(readFileSync(resolve("package.json"), "utf8")) as { version: string };
    expect(releases(), "record them by: npm run histories").toContain(version);
    for (const release of releases()) expect(storiesOf(release)).toEqual(expect.arrayContaining(STORIES));
  });

  test("hold no name of the machine that recorded them, and are small", () => {
    for (const { name, history } of everything()) {
      const identities = JSON.stringify(history).match(/"identity":"[^"]*"/g) ?? [];
      expect([...new Set(identities)], name).toEqual(['"identity":"recorder"']);
      expect(JSON.stringify(history).length, name).toBeLessThan(200_000);
    }
  });

  test.for(everything().map((one) => [one.name, one] as const))(
    "%s is understood by these workflows (else: patched(), docs/upgrading.md)",
    async ([, one]) => await replay(code, one),
  );
});

describe("a change that they do not understand is found", () => {
  const [release = ""] = releases().slice(-1);

  test("an activity that came to be between two others", async () => {
    const bundle = changed(code, "await SLEEP(10);");
    await expect(replay(bundle, kept(release, "active"))).rejects.toThrow(DeterminismViolationError);
  });

  test("an activity of another name", async () => {
    const bundle = code.replaceAll('"restoreBoot"', '"putBack"');
    expect(bundle).not.toBe(code);
    await expect(replay(bundle, kept(release, "active"))).rejects.toThrow(DeterminismViolationError);
  });

  test("an end that came to be later", async () => {
    const bundle = changed(code, "await SLEEP(10);", afterActivity);
    await expect(replay(bundle, kept(release, "stranded"))).rejects.toThrow(DeterminismViolationError);
  });

  test("and the same change inside patched() is not one", async () => {
    const bundle = changed(code, 'if (PATCHED("a-later-version")) await SLEEP(10);');
    for (const story of storiesOf(release)) await replay(bundle, kept(release, story));
  });
});
