/** Nobody should wonder for longer than this whether an attack hangs. */
const QUIET_MS = 60_000;

/** Says each line at once, and `still()` whenever a minute has passed without one. */
export function speaker(still: () => string, quietMs = QUIET_MS): (line: string) => void {
  let timer: NodeJS.Timeout | null = null;
  const say = (line: string) => {
    console.log(line);
    if (timer) clearTimeout(timer);
    timer = setTimeout(() => say(still()), quietMs).unref();
  };
  timer = setTimeout(() => say(still()), quietMs).unref();
  return say;
}

/** How an attack ends: 1 is kept for promises, so that whoever reads only the code is not alarmed by something else. */
export const EXIT = { kept: 0, broken: 1, otherwise: 3, interrupted: 130 } as const;
