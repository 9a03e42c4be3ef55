import { randomInt } from "node:crypto";
import { createServer } from "node:net";

/**
 * Below the ports that systems give to outgoing connections (from 32768 on Linux, from 49152 by RFC 6335 section 6): whoever asks for a
 * port and listens on it a moment later, or again after a restart, does not find a connection of somebody's there.
 */
const FIRST = 20_000;
const LAST = 32_767;
const TRIES = 100;

/** A port of loopback that nobody listens on now. Throws where a hundred of them are taken. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < TRIES; tries++) {
    const port = randomInt(FIRST, LAST + 1);
    if (await isFree(port)) return port;
  }
  throw new Error(`Of ${TRIES} ports of 127.0.0.1 between ${FIRST} and ${LAST} none is free.`);
}

export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
