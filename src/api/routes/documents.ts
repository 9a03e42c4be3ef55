import { z } from "zod";
import { MAX_FILE_BYTES, parseDocuments } from "../../catalogue/documents.js";
import { parseSelector } from "../../catalogue/selector.js";
import { Name } from "../../domain/basics.js";
import type { CatalogueDocument, Kind } from "../../domain/documents.js";
import { PitstopError } from "../../domain/errors.js";
import { type Api, type ApiDeps, problems } from "../api.js";
import { onceFor } from "../idempotency.js";
import { Action, Applied, AppliedList, type Collection, Image, Target } from "../messages.js";

/** Targets, images and actions: the same five routes for each kind, and one that takes a file of all kinds. */
export function documentRoutes(api: Api, deps: ApiDeps): void {
  collectionRoutes(api, deps, "targets", "Target", Target);
  collectionRoutes(api, deps, "images", "Image", Image);
  collectionRoutes(api, deps, "actions", "Action", Action);

  api.post(
    "/documents",
    {
      bodyLimit: MAX_FILE_BYTES,
      schema: {
        tags: ["catalogue"],
        summary: "Apply a YAML file of documents; each is checked before the first is applied",
        consumes: ["application/yaml"],
        querystring: z.object({
          /** Named in errors. */
          file: z.string().max(1024).default("documents.yaml"),
          /** Only check. */
          dryRun: z.stringbool().default(false),
        }),
        body: z.string(),
        response: { 200: AppliedList, ...problems },
      },
    },
    async (request, reply) => {
      const { file, dryRun } = request.query;
      const documents = parseDocuments(request.body, file);
      if (dryRun) return { results: documents.map(({ kind, name }) => ({ kind, name, result: "valid" as const })) };
      return await onceFor(deps.catalogue, request, reply, async () => {
        const results: Applied[] = [];
        for (const document of documents) results.push(await apply(deps, document));
        return { results };
      });
    },
  );
}

function collectionRoutes(
  api: Api,
  deps: ApiDeps,
  collection: Collection,
  kind: Kind,
  schema: z.ZodType<CatalogueDocument>,
): void {
  const noun = kind.toLowerCase();
  const tags = ["catalogue"];
  const named = z.object({ name: Name });

  api.get(
    `/${collection}`,
    {
      schema: {
        tags,
        summary: `List ${collection} by name`,
        querystring: z.object({ select: z.string().max(1024).default("") }),
        response: { 200: z.object({ items: z.array(schema) }), ...problems },
      },
    },
    async (request, reply) => {
      const items = await deps.catalogue.list(kind, parseSelector(request.query.select));
      return await reply.send({ items });
    },
  );

  api.get(
    `/${collection}/:name`,
    { schema: { tags, summary: `Get one ${noun}`, params: named, response: { 200: schema, ...problems } } },
    async (request, reply) => {
      const document = await deps.catalogue.get(kind, request.params.name);
      if (!document)
        throw new PitstopError(
          "notFound",
          `There is no ${noun} ${request.params.name}; "pitstop get ${collection}" lists them.`,
        );
      return await reply.send(document);
    },
  );

  const applied = { 200: Applied, 201: Applied, ...problems };
  api.post(
    `/${collection}`,
    { schema: { tags, summary: `Apply a ${noun}`, body: schema, response: applied } },
    async (request, reply) => {
      const answer = await onceFor(deps.catalogue, request, reply, () => apply(deps, request.body));
      return await reply.code(answer.result === "created" ? 201 : 200).send(answer);
    },
  );

  api.put(
    `/${collection}/:name`,
    { schema: { tags, summary: `Apply a ${noun} under its name`, params: named, body: schema, response: applied } },
    async (request, reply) => {
      const { name } = request.params;
      if (request.body.name !== name) {
        throw new PitstopError(
          "invalid",
          `name: the document is named ${request.body.name} and the address says ${name}; make them the same.`,
        );
      }
      const answer = await apply(deps, request.body);
      return await reply.code(answer.result === "created" ? 201 : 200).send(answer);
    },
  );

  api.delete(
    `/${collection}/:name`,
    {
      schema: {
        tags,
        summary: `Delete a ${noun} that nothing uses`,
        params: named,
        response: { 204: z.undefined(), ...problems },
      },
    },
    async (request, reply) => {
      await deps.catalogue.delete(kind, request.params.name);
      deps.events.publish({ type: "catalogue.changed", kind, name: request.params.name, change: "deleted" });
      return await reply.code(204).send();
    },
  );
}

async function apply(deps: ApiDeps, document: CatalogueDocument): Promise<Applied> {
  const result = await deps.catalogue.apply(document);
  const { kind, name } = document;
  if (result !== "unchanged") deps.events.publish({ type: "catalogue.changed", kind, name, change: result });
  return { kind, name, result };
}
