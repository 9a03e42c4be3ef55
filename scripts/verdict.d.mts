export interface Report {
  numPassedTests: number;
  testResults: {
    name: string;
    status: string;
    message: string;
    assertionResults: { fullName: string; status: string }[];
  }[];
}
export interface Verdict {
  passed: number;
  failed: number;
  skipped: number;
  lines: string[];
}
export const MAY_BE_SKIPPED: Record<string, string>;
export function verdict(report: Report, how: { ci: boolean; byName: boolean; clean: boolean }): Verdict;
