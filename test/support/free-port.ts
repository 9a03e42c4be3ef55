import { isFree } from "../../src/free-port.js";

/** Below the ports that servers and labs choose for themselves, and those of outgoing connections. */
const FIRST = 10_000;
/** Ports of one lane: more than one file asks for. */
const LANE = 500;
/** Suites that run at once: each worker of Vitest has a lane, and programs outside Vitest share the first one. */
export const MAX_WORKERS = 19;
/** Processes begin apart: what an earlier one of the lane started may still hold its ports for a moment. */
const STRIDE = 37;

const given = new Set<number>();

/**
 * A port of 127.0.0.1 for a server that a suite starts, stops and starts again. Each suite has a lane of ports of its own, and a
 * process gives no port twice, because nothing holds the port before the start and between a kill and the next start.
 */
export async function freePort(): Promise<number> {
  const lane = Number(process.env.VITEST_POOL_ID ?? 0);
  if (lane > MAX_WORKERS) throw new Error(`There are ports for ${MAX_WORKERS} workers, and this is worker ${lane}.`);
  const first = FIRST + lane * LANE;
  const start = process.pid * STRIDE;
  for (let tries = 0; tries < LANE; tries++) {
    const port = first + ((start + tries) % LANE);
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) return port;
  }
  throw new Error(`Of the ports of 127.0.0.1 from ${first} on, ${LANE}, none is free.`);
}
