import { pino } from "pino";
import { describe, expect, it } from "vitest";
import { startListener } from "../../src/boot/listener.js";

describe("a listener for targets", () => {
  it("says which setting names another address when its own is taken", async () => {
    const common = { log: pino({ level: "silent" }), routes: () => undefined };
    const first = await startListener({ ...common, listen: { host: "127.0.0.1", port: 0 } });
    try {
      await expect(startListener({ ...common, listen: { host: "127.0.0.1", port: first.port } })).rejects.toMatchObject(
        {
          code: "refused",
          message: `The address 127.0.0.1:${first.port} cannot be listened on (EADDRINUSE); set PITSTOP_SITE_LISTEN to a free one.`,
        },
      );
    } finally {
      await first.close();
    }
  });
});
