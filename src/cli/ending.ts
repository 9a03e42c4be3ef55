import type { SessionRecord } from "../domain/record.js";
import { clock, duration, type Style } from "./output.js";

/** Whether waiting for the session is over: it has ended, or it waits for a person. */
export const isSettled = (record: SessionRecord): boolean => record.endedAt !== null || record.phase === "stranded";

/** How it went, in one sentence. */
export function sayEnding(record: SessionRecord): string {
  const what = record.action ?? "restore";
  const name = `${what} on ${record.target}`;
  if (record.phase === "stranded") {
    return `${name}: stranded. ${record.stranded?.message ?? ""} Then: ${sayRemedy(record)}.`;
  }
  const took = record.endedAt ? ` after ${duration(Date.parse(record.endedAt) - Date.parse(record.startedAt))}` : "";
  const work =
    record.outcome === null
      ? ""
      : `${sayOutcome(record.outcome)}${record.failure ? ` (${record.failure.message.replace(/\.$/, "")})` : ""}; `;
  if (record.ending === "released") {
    return `${name}: ${work}released by ${record.released?.by ?? "a person"} without proof of home${took}.`;
  }
  if (record.untouched) return `${name}: ${work}the target was not touched.`;
  return `${name}: ${work}the target is home (${sayProof(record)})${took}.`;
}

/** What is away, and since when; null while nothing is waited for. The phase alone would look like a hang. */
export const sayWaiting = ({ waitingFor }: SessionRecord): string | null =>
  waitingFor && `waiting for ${waitingFor.what} since ${clock(waitingFor.since)}`;

/** What a person may do about a stranded target, once its trouble is mended. */
export const sayRemedy = (record: SessionRecord): string => `pitstop session retry ${record.target}, or release it`;

export const sayOutcome = (outcome: string): string => (outcome === "timedOut" ? "timed out" : outcome);

export function sayProof(record: SessionRecord): string {
  const { home } = record;
  if (!home.proved) return home.reason ?? "not proved";
  if (home.strength === "off") return "proved off, as it was";
  return home.strength === "weak" ? "weak proof" : "proved";
}

export function endingStyle(record: { phase: string; ending: string | null; outcome: string | null }): Style | null {
  if (record.phase === "stranded" || record.ending === "stranded" || record.ending === "released") return "red";
  if (record.ending === null) return "cyan";
  return record.outcome === "succeeded" ? "green" : "yellow";
}
