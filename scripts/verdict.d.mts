export interface Report {
  modules: {
    name: string;
    failed: boolean;
    errors: string[];
    seconds: number;
    setUpSeconds: number;
    tests: { name: string; state: string; note?: string }[];
  }[];
}

export function verdict(
  report: Report,
  how: { ci: boolean; byName: boolean; clean: boolean },
): { passed: number; failed: number; skipped: number; lines: string[] };

export function slowest(report: Report, count: number): string[];
