import { z } from "zod";
import { parseYaml } from "../../catalogue/documents.js";
import { paramsOf, Task } from "../../domain/action.js";
import { PitstopError } from "../../domain/errors.js";
import type { SessionRequest } from "../../domain/session.js";
import { type Api, type ApiDeps, problems } from "../api.js";
import { onceFor } from "../idempotency.js";
import {
  LogList,
  Noted,
  PersonBody,
  ReleaseBody,
  SessionList,
  SessionRecord,
  SessionSummary,
  StartAnswer,
  StartBody,
  Supplied,
  SupplyBody,
} from "../messages.js";
import { problemOf } from "../problem.js";
import type { SessionRef } from "../session-service.js";

const tags = ["sessions"];
/** A session's id, or a target's name: its open session, else its newest. */
const params = z.object({ id: z.string().min(1).max(256) });

/** Sessions: start, watch, and what a person may say to one. */
export function sessionRoutes(api: Api, deps: ApiDeps): void {
  startRoute(api, deps);
  readRoutes(api, deps);
  logRoutes(api, deps);
  personRoutes(api, deps);
}

function startRoute(api: Api, deps: ApiDeps): void {
  api.post(
    "/sessions",
    {
      schema: {
        tags,
        summary: "Start a maintenance session on one target, or one on each of several",
        body: StartBody,
        response: { 201: StartAnswer, ...problems },
      },
    },
    async (request, reply) => {
      const { target, targets, ...rest } = request.body;
      const answer = await onceFor(deps.catalogue, request, reply, async () => {
        await requireNamed(deps, rest);
        if (target !== undefined) return { started: [await startOne(deps, { ...rest, target })], refused: [] };
        return await startMany(deps, targets ?? [], rest);
      });
      return await reply.code(201).send(answer);
    },
  );
}

type Wish = Omit<SessionRequest, "target">;

/** The session's plan checks all of this again; here it is a quick no, before anything has been started. */
async function requireNamed(deps: ApiDeps, wish: Wish): Promise<void> {
  if (wish.action !== undefined) {
    const action = await deps.catalogue.get("Action", wish.action);
    if (!action) {
      throw new PitstopError("notFound", `There is no action ${wish.action}; "pitstop get actions" lists them.`);
    }
    paramsOf(action, wish.params ?? {});
  }
  if (wish.image !== undefined && !(await deps.catalogue.get("Image", wish.image))) {
    throw new PitstopError("notFound", `There is no image ${wish.image}; "pitstop get images" lists them.`);
  }
}

async function startOne(deps: ApiDeps, request: SessionRequest) {
  if (!(await deps.catalogue.get("Target", request.target))) {
    throw new PitstopError("notFound", `There is no target ${request.target}; "pitstop get targets" lists them.`);
  }
  const { session, workflowId } = await deps.sessions.startSession(request);
  deps.view.remember(session, request.target);
  return { target: request.target, session, workflowId };
}

/** Each is started or refused by itself: one busy target does not hold the others. At most 100, by the body's schema. */
async function startMany(deps: ApiDeps, targets: string[], wish: Wish): Promise<z.infer<typeof StartAnswer>> {
  const answer: z.infer<typeof StartAnswer> = { started: [], refused: [] };
  await Promise.all(
    [...new Set(targets)].map(async (target) => {
      try {
        answer.started.push(await startOne(deps, { ...wish, target }));
      } catch (error) {
        const problem = problemOf(error);
        if (problem.status >= 500) deps.log.error({ err: error, target }, "session not started");
        answer.refused.push({ target, problem });
      }
    }),
  );
  return answer;
}

function readRoutes(api: Api, deps: ApiDeps): void {
  api.get(
    "/sessions",
    {
      schema: {
        tags,
        summary: "List sessions, newest first",
        querystring: z.object({
          target: z.string().max(63).optional(),
          campaign: z.string().max(256).optional(),
          open: z.stringbool().optional(),
          limit: z.coerce.number().int().min(1).max(1000).default(100),
        }),
        response: { 200: SessionList, ...problems },
      },
    },
    async (request) => {
      const { target, campaign, open, limit } = request.query;
      const records = await deps.catalogue.listRecords({
        limit,
        ...(target === undefined ? {} : { target }),
        ...(campaign === undefined ? {} : { campaign }),
        ...(open === undefined ? {} : { open }),
      });
      return { items: records.flatMap((record) => summaryOf(deps, record)) };
    },
  );

  api.get(
    "/sessions/:id",
    {
      schema: {
        tags,
        summary: "A session's record, with its live status",
        params,
        response: { 200: SessionRecord, ...problems },
      },
    },
    (request) => deps.view.show(request.params.id),
  );
}

/** A record that this program cannot read, of another version perhaps, must not hide the others. */
function summaryOf(deps: ApiDeps, record: unknown): SessionSummary[] {
  const parsed = SessionSummary.safeParse(record);
  if (parsed.success) return [parsed.data];
  const session = (record as { session?: unknown } | null)?.session;
  deps.log.error({ session, reason: parsed.error.issues[0]?.message }, "a session's record could not be read");
  return [];
}

function logRoutes(api: Api, deps: ApiDeps): void {
  const logged = async (id: string) => (await deps.view.show(id)).tasks.filter((task) => task.logSha256 !== null);

  api.get(
    "/sessions/:id/logs",
    {
      schema: {
        tags,
        summary: "The logs that a session's tasks left",
        params,
        response: { 200: LogList, ...problems },
      },
    },
    async (request) => ({
      items: (await logged(request.params.id)).map((task) => ({
        task: task.id,
        name: task.name,
        status: task.status,
        sha256: task.logSha256 ?? "",
      })),
    }),
  );

  api.get(
    "/sessions/:id/logs/:task",
    {
      schema: {
        tags,
        summary: "One task's log",
        params: params.extend({ task: z.string().min(1).max(256) }),
        response: { 200: { description: "The log", content: { "text/plain": { schema: z.string() } } }, ...problems },
      },
    },
    async (request, reply) => {
      const { id, task } = request.params;
      const found = (await logged(id)).find((item) => item.id === task || item.name === task);
      if (!found?.logSha256)
        throw new PitstopError(
          "notFound",
          `Session ${id} has no log of a task ${task}; "pitstop session logs ${id}" shows those that it has.`,
        );
      if (!deps.logs)
        throw new PitstopError("notFound", "This server keeps no logs; ask the one that has the object store.");
      const bytes = await deps.logs.get(found.logSha256);
      // What a machine printed is data: never sniffed into a page.
      reply.header("x-content-type-options", "nosniff").type("text/plain; charset=utf-8");
      return await reply.send(Buffer.from(bytes).toString("utf8"));
    },
  );
}

function personRoutes(api: Api, deps: ApiDeps): void {
  const say = (
    verb: string,
    summary: string,
    act: (ref: SessionRef, person: { by: string; reason?: string }) => Promise<void>,
  ) => {
    api.post(
      `/sessions/:id/${verb}`,
      { schema: { tags, summary, params, body: PersonBody, response: { 202: Noted, ...problems } } },
      async (request, reply) => {
        const { by, reason } = request.body;
        const noted = await onceFor(deps.catalogue, request, reply, async () => {
          const ref = await deps.view.open(request.params.id, verb);
          await act(ref, reason === undefined ? { by } : { by, reason });
          return ref;
        });
        return await reply.code(202).send(noted);
      },
    );
  };
  const { sessions } = deps;
  say("abort", "End the work and bring the target home", (ref, person) => sessions.abort(ref, person));
  say("approve", "Let a session that waits for approval begin", (ref, person) => sessions.approve(ref, person));
  say("retry", "Try the restore of a stranded session again", (ref, person) => sessions.retryRestore(ref, person));

  api.post(
    "/sessions/:id/release",
    {
      schema: {
        tags,
        summary: "End a stranded session without a proof that the target is home",
        params,
        body: ReleaseBody,
        response: { 202: Noted, ...problems },
      },
    },
    async (request, reply) => {
      const noted = await onceFor(deps.catalogue, request, reply, async () => {
        const ref = await deps.view.open(request.params.id, "release");
        await sessions.releaseTarget(ref, request.body);
        return ref;
      });
      return await reply.code(202).send(noted);
    },
  );

  api.post(
    "/sessions/:id/supply",
    {
      schema: {
        tags,
        summary: "Give one more task to an interactive session, or say that nothing more comes",
        params,
        body: SupplyBody,
        response: { 202: Supplied, ...problems },
      },
    },
    async (request, reply) => {
      const { by, reason, last } = request.body;
      const task = taskOf(request.body);
      const supplied = await onceFor(deps.catalogue, request, reply, async () => {
        const ref = await deps.view.open(request.params.id, "supply");
        const person = reason === undefined ? { by } : { by, reason };
        return { ...ref, ...(await sessions.supplyTask(ref, person, task, last)) };
      });
      return await reply.code(202).send(supplied);
    },
  );
}

function taskOf(body: z.infer<typeof SupplyBody>): Task | null {
  if (!body.yaml) return body.task ?? null;
  const [first, second] = parseYaml(body.yaml.text, body.yaml.file, Task);
  if (second) throw new PitstopError("invalid", `${second.at}: one task at a time; this is a second one.`);
  return first?.value ?? null;
}
