import { request } from "undici";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Rig, startRig } from "../api/running.js";

/** Health says nothing of targets, and what has no effect needs no token. */
const PUBLIC = ["/healthz", "/readyz", "/metrics"];

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
});
afterAll(() => rig.stop());

describe("the REST interface", () => {
  it("needs the token on every route, of every method, but for health and its description", async () => {
    const described = await request(`${rig.api.url}/openapi.json`);
    const { paths } = (await described.body.json()) as { paths: Record<string, Record<string, unknown>> };
    expect(Object.keys(paths).length).toBeGreaterThan(10);
    for (const [path, methods] of Object.entries(paths)) {
      if (PUBLIC.includes(path)) continue;
      for (const name of Object.keys(methods)) {
        const method = name.toUpperCase() as "GET";
        const url = rig.api.url + path.replace(/\{[^}]+\}/g, "x");
        const answer = await request(url, { method, body: method === "GET" ? null : "{}" });
        await answer.body.dump();
        expect(answer.statusCode, `${method} ${path}`).toBe(401);
      }
    }
  });
});
