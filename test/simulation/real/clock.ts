/** From this true moment on the server's clock was ahead by so much. */
export interface Jump {
  atMs: number;
  skewMs: number;
}

/**
 * The true time of what the server noted by a clock that jumps. The clock jumps further than the attack lasts (`schedule.ts`), so that
 * no time is shown twice while it goes on: a time is of the first of the clock's settings under which it was shown.
 */
export function trueTime(at: string, beganMs: number, jumps: readonly Jump[]): string {
  const settings = [{ atMs: beganMs, skewMs: 0 }, ...jumps];
  const shown = Date.parse(at);
  const found = settings.find(({ atMs, skewMs }, i) => {
    const time = shown - skewMs;
    return time >= atMs && time < (settings[i + 1]?.atMs ?? Number.POSITIVE_INFINITY);
  });
  return new Date(shown - (found?.skewMs ?? 0)).toISOString();
}
