import { createHash } from "node:crypto";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Catalogue } from "../catalogue/catalogue.js";
import { PitstopError } from "../domain/errors.js";

/**
 * Runs `work` once for each `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a client that lost the answer
 * asks again and gets the same one. Without the header it just runs.
 */
export async function onceFor<T>(
  catalogue: Catalogue,
  request: FastifyRequest,
  reply: FastifyReply,
  work: () => Promise<T>,
): Promise<T> {
  const key = request.headers["idempotency-key"];
  if (key === undefined) return await work();
  if (typeof key !== "string" || !/^[\x21-\x7e]{1,255}$/.test(key)) {
    throw new PitstopError("invalid", "The Idempotency-Key is 1 to 255 printable characters without spaces.");
  }
  const said = JSON.stringify([request.method, request.url, request.body ?? null]);
  const fingerprint = createHash("sha256").update(said).digest("hex");
  const { answer, replayed } = await catalogue.once(key, fingerprint, work);
  if (replayed) reply.header("idempotent-replayed", "true");
  // What was stored is what `work` of the same request returned.
  return answer as T;
}
