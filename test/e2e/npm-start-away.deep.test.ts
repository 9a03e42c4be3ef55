import { rmSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { freshClone } from "../support/npm-start.js";

describe("npm start", { timeout: 600_000 }, () => {
  const { folder, start, interrupt } = freshClone();
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("names the machine that is away at a Ctrl-C, and the next start brings it home first", async () => {
    const away = await interrupt("away", [], /^\d\d:\d\d:\d\d rebooting$/m);
    expect(away.signal, `${away.said}\n${away.stderr}`).toBe("SIGINT");
    expect(away.said).toMatch(/^ {2}lab-bios-1 is away \(rebooting\); its session goes on at the next start$/m);
    expect(away.said).toContain("Stopped.\n");
    const next = await start("away", []);
    expect(next.exitCode, `${next.stdout}\n${next.stderr}`).toBe(0);
    expect(next.stdout).toContain("lab-bios-1 is still away since the last start; its session goes on");
    expect(next.stdout.match(/the target is home/g)).toHaveLength(2);
  });
});
