import { describe, expect, it } from "vitest";
import { readOptions } from "../../workers/options.js";

const options = { once: { type: "boolean" }, json: { type: "string" } } as const;

describe("a process's options", () => {
  it("are read", () => {
    expect(readOptions(["--once", "--json", "out.json"], "help", options)).toEqual({ once: true, json: "out.json" });
  });

  it.each([
    [["--bogus"], "Unknown option '--bogus'"],
    [["extra"], "Unexpected argument 'extra'"],
    [["--json"], "Option '--json <value>' argument missing"],
  ])("%j are refused in one sentence", (argv, what) => {
    expect(() => readOptions(argv, "npm start -- --help", options)).toThrow(
      `${what}; "npm start -- --help" lists the options.`,
    );
  });
});
