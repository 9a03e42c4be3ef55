import { expect, it } from "vitest";
import { problemOf } from "../../src/api/problem.js";

it.each([
  ["ENOSPC", "its disk is full"],
  ["EMFILE", "it has no file handle left"],
  ["53100", "its disk is full"],
])("a host that lacks what %s says is no defect, and the problem says what to put right", (code, lack) => {
  const problem = problemOf(Object.assign(new Error("could not extend file"), { code }));
  expect(problem).toMatchObject({ status: 503, code: "unreachable", detail: expect.stringContaining(lack) });
});

it("an error that nobody expected stays untold", () => {
  const problem = problemOf(Object.assign(new Error("the inside of it"), { code: "ECHILD" }));
  expect(problem).toMatchObject({ status: 500, code: "internal", detail: expect.not.stringContaining("inside") });
});
