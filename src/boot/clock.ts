/** The site's clock: tests bring their own. Milliseconds since 1970. */
export type Clock = () => number;

export const iso = (ms: number): string => new Date(ms).toISOString();

/** Whole seconds, rounded down and never negative: what is granted to others is never more than what there is. */
export const durationSeconds = (ms: number): number => Math.max(0, Math.floor(ms / 1000));
