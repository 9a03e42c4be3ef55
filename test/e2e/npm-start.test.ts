import { rmSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { freshClone } from "../support/npm-start.js";

describe("npm start", { timeout: 600_000 }, () => {
  const { folder, interrupt } = freshClone();
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("builds, takes a machine away and home, and stops at Ctrl-C in order, saying what it stops", async () => {
    const { signal, stderr, before, said, temporal } = await interrupt(
      "stop",
      ["--machine", "process"],
      /Ctrl-C stops it\./,
    );
    expect(signal, `${said}\n${stderr}`).toBe("SIGINT");
    expect(before).toMatch(/inventory on lab-process-1: succeeded; the target is home \(proved\)/);
    const parts = [
      "the lab's machines: lab-process-1",
      "the API (http://127.0.0.1:",
      "the worker that decides what sessions do next",
      "the boot server and the agents' listener (",
      "the worker that acts on the site's BMCs",
      "the Temporal server (process ",
      "the database (process ",
    ].map((name) => `  stopping ${name}`);
    const told = said.split("\n").filter((line) => parts.some((part) => line.startsWith(part)));
    expect(told.map((line) => parts.findIndex((part) => line.startsWith(part)))).toEqual(parts.map((_, i) => i));
    expect(said).toContain("Stopped.\n");
    expect(stderr).toBe("");
    expect(temporal).toBe(0);
  });
});
