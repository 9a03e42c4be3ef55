import { expect, test } from "vitest";
import { seed } from "../../support/tier.js";
import { attack, explain } from "./attack.js";
import { BATCH } from "./schedule.js";

/**
 * A deed may be in vain: the session had ended, the request that a fault waits for never came, the signal was not sent. So many of one
 * kind over a batch are not: the rarest is met by one in three, and twelve that all miss are one batch in a hundred and thirty of a kind's own.
 */
const ENOUGH = 12;

test(`against real servers, each of ${BATCH} seeds from ${seed} on keeps every promise`, {
  timeout: 30 * 60_000,
}, async () => {
  const { seeds: played, trouble, met, seconds } = await attack(Array.from({ length: BATCH }, (_, i) => seed + i));
  const stranded = played.flatMap((one) => one.stranded).length;
  console.log(
    `${played.length} seeds in ${seconds} s; ${stranded} announced stranded, and home by a retry; met:\n${met}`,
  );
  const broken = played.filter((one) => one.broken.length > 0).map(explain);
  expect(broken.length, broken.join("\n\n")).toBe(0);
  expect(trouble, "the servers themselves").toEqual([]);
  // None of these depends on what a session does: each is met whose moment came.
  const sure = ["kill", "cut", "full disk", "no file handle", "abort", "second start", "forged hello", "forged done"];
  expect(sure.filter((kind) => met.of(kind).due > 0 && met.of(kind).met === 0)).toEqual([]);
  expect(met.inVain(ENOUGH), `of those whose moment came ${ENOUGH} times`).toEqual([]);
});
