import { EMULATED } from "./emulated.js";
import { keyOf, nameOf, type Post } from "./posts.js";
import { SCENARIOS, type Scenario } from "./scenarios.js";
import type { Victim } from "./world.js";

/** One of the times that a session came to a point, and how long after its beginning. */
export interface Passing {
  nth: number;
  ms: number;
}

/** How often, and when, each scenario came to each point, by the scenario's name and the effect's key. */
export type Points = Map<string, Map<string, Passing[]>>;

export interface Case {
  victim: Victim;
  scenario: Scenario;
  post: Post;
  /** When a session comes there where nobody dies; who stands there at about the same time is hit at once. */
  ms: number;
}

export interface Judged extends Case {
  /** `hit`: the victim died while the session stood at its post. `idle`: there was nothing of it to kill. `missed`: the session never came there. */
  how: "hit" | "idle" | "missed";
  complaints: string[];
}

const ALL = [...SCENARIOS, ...EMULATED];

/** Every key that occurs, each with the scenarios that come to it. */
export function scenariosOf(points: Points): Map<string, { scenario: Scenario; passings: Passing[] }[]> {
  const of = new Map<string, { scenario: Scenario; passings: Passing[] }[]>();
  for (const scenario of ALL) {
    for (const [key, passings] of points.get(scenario.name) ?? [])
      of.set(key, [...(of.get(key) ?? []), { scenario, passings }]);
  }
  return of;
}

/** One case for a key, chosen by `random` among the scenarios that pass it and their passings. */
export function caseFor(points: Points, key: string, victim: Victim, random: () => number): Case {
  const found = scenariosOf(points).get(key) ?? [];
  // Few machines are special: the plain ones take most.
  const plain = found.filter(({ scenario }) => scenario.pool === "bios");
  const among = plain.length > 0 && random() < 0.8 ? plain : found;
  const chosen = among[Math.floor(random() * among.length)];
  if (!chosen) throw new Error(`no scenario comes to ${key}`);
  return caseAt(key, victim, chosen.scenario, chosen.passings[Math.floor(random() * chosen.passings.length)]);
}

/** For a key at which nobody was hit yet: its first passing in a scenario, another one with each try. */
export function nextTry(points: Points, key: string, victim: Victim, tried: number): Case {
  const found = scenariosOf(points).get(key) ?? [];
  const chosen = found[tried % found.length];
  if (!chosen) throw new Error(`no scenario comes to ${key}`);
  return caseAt(key, victim, chosen.scenario, chosen.passings[0]);
}

function caseAt(key: string, victim: Victim, scenario: Scenario, passing: Passing | undefined): Case {
  const { nth, ms } = passing ?? { nth: 1, ms: 0 };
  const [, when, point] = /^(before|after) (.*)$/.exec(key) ?? [];
  return { victim, scenario, post: { when: when as Post["when"], point: point as string, nth }, ms };
}

export const nameOfCase = ({ victim, scenario, post }: Case): string =>
  `${victim} dies ${nameOf(post)} of "${scenario.name}"`;

/** A generator of its own (mulberry32), so that a seed gives the same cases everywhere. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** `active: after journal.save #3`. */
export const spelled = ({ scenario, post }: Case): string => `${scenario.name}: ${nameOf(post)}`;

/** A case as {@link spelled} writes it. */
export function parseCase(text: string, victim: Victim): Case {
  const [, name, when, point, nth] = /^(.*?): (before|after) (.*) #(\d+)$/.exec(text) ?? [];
  const scenario = ALL.find((one) => one.name === name);
  if (!scenario) throw new Error(`${text} is no case; give it as "active: after journal.save #3"`);
  return { victim, scenario, post: { when: when as "before", point: point as string, nth: Number(nth) }, ms: 0 };
}

/** A point in a run's report: `before journal.save`. */
export const keyOfCase = ({ post }: Case): string => keyOf(post);
