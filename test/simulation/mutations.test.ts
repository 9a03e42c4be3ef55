import { describe, expect, it } from "vitest";
import { MUTATIONS } from "./model/mutations.mjs";
import { simulate } from "./runner.js";

describe("a bug that is planted on purpose", () => {
  it("is there for each of the eleven promises", () => {
    expect(new Set(MUTATIONS.map((one) => one.promise))).toEqual(new Set([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]));
  });

  it.each(MUTATIONS)(
    "against promise $promise is found: $name",
    { timeout: 300_000 },
    async ({ name, promise, seed }) => {
      const seeds = ["--seed", String(seed), "--first", "--seeds", "3", "--until-broken"];
      const { broken } = await simulate(...seeds, "--mutation", name);
      const survived = `${name} survives seed ${seed}: node test/simulation/model/main.mjs --first --mutation ${name} --seeds 500 --until-broken finds another`;
      expect(broken.length, survived).toBeGreaterThan(0);
      expect(broken[0]?.promise, `${name} was found by another promise than its own`).toBe(promise);
    },
  );
});
