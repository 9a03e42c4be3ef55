import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { afterEach, expect, it, vi } from "vitest";
import { freePort } from "./free-port.js";
import { Running } from "./operator.js";

const LANE = 500;
const holding: Server[] = [];
afterEach(() => {
  vi.unstubAllEnvs();
  for (const server of holding.splice(0)) server.close();
});

it("gives no port twice, none that somebody holds, and none that a suite beside it may be given", async () => {
  // What tells suites apart that run at once; without it all would have the same ports.
  expect(process.env.VITEST_POOL_ID).toMatch(/^[1-9]\d*$/);
  const seen = new Set<number>();
  for (const [lane, first] of [
    ["1", 10_500],
    ["2", 11_000],
  ] as const) {
    vi.stubEnv("VITEST_POOL_ID", lane);
    for (let count = 0; count < 200; count++) {
      const port = await freePort();
      expect(port).toBeGreaterThanOrEqual(first);
      expect(port).toBeLessThan(first + LANE);
      expect(seen).not.toContain(port);
      seen.add(port);
      const server = createServer();
      holding.push(server);
      // It can be listened on.
      await new Promise<void>((done, failed) => server.once("error", failed).listen(port, "127.0.0.1", done));
    }
  }
});

it("tells in one line how a program ended that did not start, and its last words", async () => {
  const running = new Running("serve", ["serve", "--such"], { PATH: process.env.PATH }, tmpdir());
  const said = await running.until(/^Boot server/m, 30_000).then(
    () => "",
    (error: Error) => error.message,
  );
  expect(said.split("\n")[0]).toMatch(
    /^serve ended \(exit code \d+\) and did not say \/\^Boot server\/m; its last words: .*--such/,
  );
});
