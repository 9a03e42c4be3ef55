import { z } from "zod";
import { messageOf } from "../../domain/errors.js";
import type { Api, ApiDeps } from "../api.js";
import { Readiness } from "../messages.js";
import type { HealthCheck } from "../session-service.js";

const CHECK_TIMEOUT_MS = 3_000;
const config = { public: true };
/** In the description: no token, where all other routes want one. */
const security: [] = [];
const tags = ["health"];

/** For load balancers, monitoring and people; without a token, because they name no target and no secret. */
export function healthRoutes(api: Api, deps: ApiDeps): void {
  api.get(
    "/healthz",
    {
      config,
      schema: {
        tags,
        security,
        summary: "The process answers",
        response: { 200: z.object({ status: z.literal("ok") }) },
      },
    },
    async () => ({ status: "ok" as const }),
  );

  api.get(
    "/readyz",
    {
      config,
      schema: {
        tags,
        security,
        summary: "What the server needs is there",
        response: { 200: Readiness, 503: Readiness },
      },
    },
    async (_request, reply) => {
      const database = check("database", async () => {
        await deps.catalogue.ping();
        return [{ name: "database", ok: true, detail: "answers" }];
      });
      const checks = (await Promise.all([database, check("temporal", () => deps.sessions.health())])).flat();
      const ready = checks.every((item) => item.ok);
      return await reply.code(ready ? 200 : 503).send({ ready, checks });
    },
  );

  api.get(
    "/metrics",
    {
      config,
      schema: {
        tags,
        security,
        summary: "Metrics in the Prometheus text format",
        response: { 200: { description: "Metrics", content: { "text/plain": { schema: z.string() } } } },
      },
    },
    async (_request, reply) => {
      const { registry } = deps.metrics;
      return await reply.type(registry.contentType).send(await registry.metrics());
    },
  );
}

/** A check that hangs is one that fails. */
async function check(name: string, look: () => Promise<HealthCheck[]>): Promise<HealthCheck[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<HealthCheck[]>((resolve) => {
    timer = setTimeout(
      () => resolve([{ name, ok: false, detail: `does not answer within ${CHECK_TIMEOUT_MS / 1000} s` }]),
      CHECK_TIMEOUT_MS,
    );
  });
  const looked = look().catch((error: unknown) => [{ name, ok: false, detail: messageOf(error) }]);
  const result = await Promise.race([looked, late]);
  clearTimeout(timer);
  return result;
}
