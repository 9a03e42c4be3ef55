/** Seeds that once broke a promise, and what it was. They run in CI for ever. */
export const FOUND: { seed: number; name: string; was: string }[] = [];
