import { z } from "zod";

/** The control has the thing and showed it in a form that has no meaning. `unreadable`: one sentence that says why. */
export const Unreadable = z.strictObject({ unreadable: z.string() });
export type Unreadable = z.infer<typeof Unreadable>;

/** The control does not have the thing. */
export const Absent = z.strictObject({ absent: z.literal(true) });
export type Absent = z.infer<typeof Absent>;

/** What a control says of one thing. A known value stands for itself, so that the record stays readable. */
export type Reading<T> = T | Unreadable | Absent;

export const ABSENT: Absent = { absent: true };

/** A reason comes from a machine that nobody trusts. */
const MAX_WHY = 500;

export const unreadable = (why: string): Unreadable => ({ unreadable: why.slice(0, MAX_WHY) });

const hasOwn = (reading: unknown, key: string): boolean =>
  typeof reading === "object" && reading !== null && Object.hasOwn(reading, key);

export const isUnreadable = <T>(reading: Reading<T>): reading is Unreadable => hasOwn(reading, "unreadable");
export const isAbsent = <T>(reading: Reading<T>): reading is Absent => hasOwn(reading, "absent");
export const isKnown = <T>(reading: Reading<T>): reading is T => !isUnreadable(reading) && !isAbsent(reading);

/** `known` gives the value; null where the control has none, or showed none that can be read. */
export const known = <T>(reading: Reading<T>): T | null => (isKnown(reading) ? reading : null);

/** `readingOf` makes the schema of a reading from the schema of its value. */
export const readingOf = <T extends z.ZodType>(value: T) => z.union([value, Unreadable, Absent]);
