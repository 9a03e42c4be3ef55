import { inject } from "vitest";

declare module "vitest" {
  interface ProvidedContext {
    tier: "fast" | "deep";
    seed: number;
  }
}

/** What every suite takes its chance from: fixed in the fast tier, drawn in the deep one (`--seed` takes it again). */
export const seed: number = inject("seed");

export const isDeep: boolean = inject("tier") === "deep";

/** A number that the tiers do not share. `npm test -- --list` reads these calls, so both numbers stand in the call itself. */
export function perTier(_what: string, numbers: { fast: number; deep: number }): number {
  return numbers[inject("tier")];
}
