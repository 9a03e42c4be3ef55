import { z } from "zod";
import { PitstopError } from "../../domain/errors.js";
import { type Api, type ApiDeps, problems } from "../api.js";
import { onceFor } from "../idempotency.js";
import { CampaignList, CampaignRequest, CampaignStarted, CampaignView, SessionSummary } from "../messages.js";

const tags = ["campaigns"];

/** Campaigns: one action over many targets. */
export function campaignRoutes(api: Api, deps: ApiDeps): void {
  api.post(
    "/campaigns",
    {
      schema: {
        tags,
        summary: "Start a campaign over targets, or over those that a selector matches",
        body: CampaignRequest,
        response: { 201: CampaignStarted, ...problems },
      },
    },
    async (request, reply) => {
      const started = await onceFor(deps.catalogue, request, reply, async () => {
        if (!(await deps.catalogue.get("Action", request.body.action))) {
          throw new PitstopError(
            "notFound",
            `There is no action ${request.body.action}; "pitstop get actions" lists them.`,
          );
        }
        return await deps.sessions.startCampaign(request.body);
      });
      return await reply.code(201).send(started);
    },
  );

  api.get(
    "/campaigns",
    {
      schema: {
        tags,
        summary: "List campaigns, newest first",
        querystring: z.object({ limit: z.coerce.number().int().min(1).max(1000).default(100) }),
        response: { 200: CampaignList, ...problems },
      },
    },
    async (request) => ({ items: await deps.sessions.campaigns(request.query.limit) }),
  );

  api.get(
    "/campaigns/:id",
    {
      schema: {
        tags,
        summary: "A campaign and its sessions",
        params: z.object({ id: z.string().min(1).max(256) }),
        response: { 200: CampaignView, ...problems },
      },
    },
    async (request) => {
      const { id } = request.params;
      const state = await deps.sessions.campaign(id);
      if (!state) throw new PitstopError("notFound", `There is no campaign ${id}; "pitstop campaign list" lists them.`);
      const records = await deps.catalogue.listRecords({ campaign: id, limit: 1000 });
      return { ...state, sessions: records.map((record) => SessionSummary.parse(record)) };
    },
  );
}
