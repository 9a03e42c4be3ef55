import { randomInt } from "node:crypto";
import { createServer } from "node:net";

/**
 * Below the ports that systems give to outgoing connections: from 32768 on Linux, from 49152 by RFC 6335, section 6. So no such
 * connection takes the port before its server listens there, or while that server restarts.
 */
const FIRST = 20_000;
const LAST = 32_767;
const TRIES = 100;

/** A port of 127.0.0.1, between 20000 and 32767, on which nothing listens now. Throws after 100 ports that are taken. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < TRIES; tries++) {
    const port = randomInt(FIRST, LAST + 1);
    if (await isFree(port)) return port;
  }
  throw new Error(`Of ${TRIES} ports of 127.0.0.1 between ${FIRST} and ${LAST} none is free.`);
}

/** Whether nothing listens on this port of 127.0.0.1 now. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
