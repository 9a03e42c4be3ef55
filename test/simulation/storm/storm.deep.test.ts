import { expect, test } from "vitest";
import { storm } from "./storm.js";

test("forty sessions at once, the server killed twice and its connections cut: exactly one ending each, by three witnesses", {
  timeout: 20 * 60_000,
}, async () => {
  const { broken, ...figures } = await storm({ sessions: 40, kills: 2, everyS: 5 });
  console.log(JSON.stringify(figures));
  expect(broken, broken.join("\n")).toEqual([]);
  expect(figures.sessions).toBe(40);
  expect(figures.kills, "else it was no storm").toBeGreaterThan(0);
});
