import { describe, expect, it } from "vitest";
import { Transport } from "../../src/control/redfish/transport.js";
import { readTrust } from "../../src/control/tls.js";
import { failure, startBmc } from "./help.js";

const OK = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";

describe("a BMC that sends its answer a byte now and then", () => {
  // Each byte comes long before the connection would count as idle: only the time of the whole exchange is left to end it.
  it.each([
    ["headers without end", `${OK}X-Slow: `],
    ["a body without end", `${OK}Content-Length: 1000000\r\n\r\n{"Members": "`],
    ["pieces without end", `${OK}Transfer-Encoding: chunked\r\n\r\n4000\r\n{"Members": "`],
  ])("has its connection closed when the time of the exchange is over, by %s", async (_what, head) => {
    const bmc = await startBmc((one) => one.faults.push(() => ({ head, everyMs: 25 })));
    const trust = await readTrust({ fingerprint256: bmc.fingerprint }, process.cwd());
    const transport = new Transport({ origin: bmc.url, trust, exchangeMs: 500 });
    const error = await failure(transport.send({ method: "GET", path: "/redfish/v1/", again: "lost" }));
    expect(error.code).toBe("unreachable");
    expect(error.message).toMatch(/did not answer GET \/redfish\/v1\/ \(TIMEOUT\)/);
    // It was dripping until then, it was asked once, and nothing is left open for it.
    expect(bmc.dripped).toBeGreaterThan(1);
    expect(transport.sent).toBe(1);
    await expect.poll(() => bmc.letGo, { timeout: 10_000 }).toBe(1);
    await transport.close();
  });
});
