import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import { DoneRequest, HelloRequest, ProgressRequest, ResultRequest } from "../domain/agent.js";
import { PitstopError } from "../domain/errors.js";
import { nestingOf } from "../domain/nesting.js";
import type { Caller } from "./authenticator.js";
import type { AgentGateway } from "./gateway.js";

const MAX_MESSAGE_BYTES = 64 * 1024;
const MAX_RESULT_BYTES = 1024 * 1024;
const MAX_PIECE_BYTES = 1024 * 1024;
/** A finding is a report for people and programs; the deepest of ours nests six levels. */
const MAX_NESTING = 64;

/** Safe as a file's name: begins with a letter or digit. */
const TaskId = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/, "not a task's id");
const WaitSeconds = z.coerce.number().min(0).max(30).default(0);
const NextQuery = z.object({ wait: WaitSeconds, running: TaskId.optional() });
const LogQuery = z.object({ offset: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER) });

/**
 * Every path of the agent protocol (docs/agent-protocol.md), on the TLS listener only.
 *
 * | path | what |
 * |---|---|
 * | `POST /agent/v1/hello` | nonce for token |
 * | `GET /agent/v1/next` | long poll for the next order |
 * | `PUT /agent/v1/tasks/<id>/log` | a piece of the log, by offset |
 * | `POST /agent/v1/tasks/<id>/progress` | live progress |
 * | `POST /agent/v1/tasks/<id>/result` | the result, kept once |
 * | `POST /agent/v1/done` | the image's work is over |
 */
export function agentRoutes(app: FastifyInstance, gateway: AgentGateway): void {
  const caller = (request: FastifyRequest) => gateway.authenticate(request.headers.authorization);
  const message = { bodyLimit: MAX_MESSAGE_BYTES };
  // A body is JSON, whatever a small client calls it: curl, told nothing, says that it is a form.
  const json = app.getDefaultJsonParser("error", "error");
  app.removeContentTypeParser(["application/json", "text/plain"]);
  app.addContentTypeParser<string>("*", { parseAs: "string" }, (request, body, done) => {
    // The journal and the history have to write it again, which takes stack for each level.
    if (nestingOf(body) > MAX_NESTING) {
      done(new PitstopError("invalid", `The message nests deeper than ${MAX_NESTING} levels; send a flatter one.`));
    } else void json(request, body, done);
  });

  app.post("/agent/v1/hello", message, async (request) => await gateway.hello(parse(HelloRequest, request.body)));

  app.get("/agent/v1/next", async (request, reply) => {
    const who = await caller(request);
    const query = parse(NextQuery, request.query);
    return await order(gateway, who, query, reply);
  });

  app.post("/agent/v1/tasks/:id/progress", message, async (request) =>
    gateway.progress(await caller(request), taskId(request), parse(ProgressRequest, request.body)),
  );

  app.post("/agent/v1/tasks/:id/result", { bodyLimit: MAX_RESULT_BYTES }, async (request, reply) => {
    const who = await caller(request);
    await gateway.result(who, taskId(request), parse(ResultRequest, request.body));
    return await order(gateway, who, parse(NextQuery, request.query), reply);
  });

  app.post("/agent/v1/done", message, async (request, reply) => {
    const who = await caller(request);
    await gateway.done(who, parse(DoneRequest, request.body));
    return await order(gateway, who, parse(NextQuery, request.query), reply);
  });

  // A log's piece is bytes, whatever the client calls them: a parser of its own, in a scope of its own.
  void app.register((scope, _options, registered) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", { parseAs: "buffer", bodyLimit: MAX_PIECE_BYTES }, (_request, body, done) =>
      done(null, body),
    );
    scope.put("/agent/v1/tasks/:id/log", { bodyLimit: MAX_PIECE_BYTES }, async (request) => {
      const piece = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
      const { offset } = parse(LogQuery, request.query);
      return await gateway.appendLog(await caller(request), taskId(request), offset, piece);
    });
    registered();
  });
}

/** Answers with the next order, and notes it as told only when the answer has gone out. */
async function order(
  gateway: AgentGateway,
  who: Caller,
  query: z.infer<typeof NextQuery>,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const gone = new AbortController();
  reply.raw.once("close", () => gone.abort());
  const what = await gateway.next(who, query.wait * 1000, query.running ?? null, gone.signal);
  reply.raw.once("finish", () => gateway.told(who, what));
  return reply.send(gateway.answer(who, what));
}

const taskId = (request: FastifyRequest): string => parse(TaskId, (request.params as { id?: unknown }).id);

function parse<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const where = issue?.path.join(".") ?? "";
  throw new PitstopError("invalid", `The message is not as docs/agent-protocol.md says: ${where} ${issue?.message}.`);
}
