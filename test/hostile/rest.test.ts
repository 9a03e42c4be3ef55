import { request } from "undici";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Rig, startRig, TOKEN } from "../api/running.js";

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

  it.each(["%zz", "%00", "a%00b"])("answers a path with %s as a problem of the request", async (name) => {
    const answer = await request(`${rig.api.url}/api/v1/sessions/${name}`, {
      headers: { authorization: `Bearer ${TOKEN}` },
    });
    expect(answer.statusCode, await answer.body.text()).toBe(400);
    expect(answer.headers["content-type"]).toContain("application/problem+json");
  });
});
