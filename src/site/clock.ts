/** Milliseconds since 1970. Tests bring their own. */
export type Clock = () => number;

export const iso = (ms: number): string => new Date(ms).toISOString();

/** Whole seconds, rounded down and never negative: nobody is granted more time than there is. */
export const durationSeconds = (ms: number): number => Math.max(0, Math.floor(ms / 1000));
