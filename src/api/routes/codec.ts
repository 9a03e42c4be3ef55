import { z } from "zod";
import { PitstopError } from "../../domain/errors.js";
import { type Api, type ApiDeps, problems } from "../api.js";

/** A payload in Temporal's JSON: bytes are base64. */
const JsonPayload = z.object({
  metadata: z.record(z.string().max(256), z.base64()).default({}),
  data: z.base64().default(""),
});
const Payloads = z.object({ payloads: z.array(JsonPayload).max(1000) });

/**
 * The half of Temporal's remote codec that reads: what the command shows of encrypted histories, it asks for here. There
 * is no half that writes, because nobody but Pitstop has anything to write into its histories.
 */
export function codecRoutes(api: Api, { codec }: ApiDeps): void {
  if (!codec) return;
  api.post(
    "/codec/decode",
    {
      schema: {
        tags: ["temporal"],
        summary: "Decrypt payloads of histories, for temporal --codec-endpoint",
        body: Payloads,
        response: { 200: Payloads, ...problems },
      },
    },
    async (request) => {
      const given = request.body.payloads.map(({ metadata, data }) => ({
        metadata: mapped(metadata, (text) => new Uint8Array(Buffer.from(text, "base64"))),
        data: Buffer.from(data, "base64"),
      }));
      const opened = await codec.decode(given).catch((error: unknown) => {
        if (error instanceof PitstopError) throw error;
        throw new PitstopError(
          "invalid",
          "These are no payloads of a history of ours; send them as Temporal has them.",
        );
      });
      const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
      return {
        payloads: opened.map(({ metadata, data }) => ({
          metadata: mapped(metadata ?? {}, base64),
          data: base64(data ?? new Uint8Array()),
        })),
      };
    },
  );
}

const mapped = <From, To>(record: Record<string, From>, map: (value: From) => To): Record<string, To> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value)]));
