import { isFree } from "../../src/ports.js";

/** Below the ports that servers and labs choose for themselves, and those of outgoing connections. */
const FIRST = 10_000;
const PORTS = 10_000;
/** At least as many as suites run at once. */
const LANES = 4;

const given = new Set<number>();

/**
 * A port of loopback for what a suite starts, stops and starts again. Nobody holds it between the look and the bind, and between a kill
 * and the next start; so no two suites that run at once are given the same one, and no process gives one twice.
 */
export async function freePort(): Promise<number> {
  const lane = Number(process.env.VITEST_POOL_ID ?? 0) % LANES;
  const first = FIRST + lane * (PORTS / LANES);
  const start = Math.floor(Math.random() * (PORTS / LANES));
  for (let tries = 0; tries < PORTS / LANES; tries++) {
    const port = first + ((start + tries) % (PORTS / LANES));
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) return port;
  }
  throw new Error(`Of the ports of 127.0.0.1 from ${first} on, ${PORTS / LANES}, none is free.`);
}
