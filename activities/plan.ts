import type { z } from "zod";
import type { Catalogue } from "../src/catalogue/catalogue.js";
import { parseSelector } from "../src/catalogue/selector.js";
import { type Action, paramsOf, type Task } from "../src/domain/action.js";
import { durationMs } from "../src/domain/basics.js";
import { isRetryable, PitstopError } from "../src/domain/errors.js";
import type { Image } from "../src/domain/image.js";
import {
  type CampaignPlan,
  CampaignRequest,
  MAX_CAMPAIGN_TARGETS,
  type PlannedTask,
  plannedTask,
  SessionPlan,
  SessionRequest,
} from "../src/domain/session.js";
import type { BootSnapshot } from "../src/domain/snapshot.js";
import type { Target } from "../src/domain/target.js";
import type { ObjectStore } from "../src/stores/store.js";
import { usableWays } from "../src/ways/ways.js";

/** What remains between the sum of all deadlines and the absolute one, for a restore that is tried again. */
const RESERVE_MS = 60 * 60_000;
const DEFAULT_HOME_MS = 15 * 60_000;

type Lookup = Pick<Catalogue, "get" | "list">;

export interface PlanInput {
  request: SessionRequest;
  session: string;
  workflowId: string;
}

/** Validates the request, fills defaults, and freezes target, action and image. Scripts go to the store, by digest. */
export async function planSession(catalogue: Catalogue, objects: ObjectStore, input: PlanInput): Promise<SessionPlan> {
  const request = parseRequest(input.request);
  const target = await mustHave(catalogue, "Target", request.target, "targets");
  const adopted = (await openSnapshotOf(catalogue, target.name, input.session)) ?? keptOf(request);
  const base = {
    session: input.session,
    workflowId: input.workflowId,
    requestedBy: request.requestedBy,
    target,
    adopted: adopted && adopted.session !== input.session ? adopted : null,
  };
  const restoreOnly = { action: null, image: null, ways: [], limits: limitsOf(target, null, 0) };
  if (request.restoreOnly) {
    if (!adopted) {
      throw new PitstopError("conflict", `${target.name} has no open boot snapshot, so there is nothing to restore.`);
    }
    return SessionPlan.parse({ ...base, ...restoreOnly });
  }
  try {
    return SessionPlan.parse({ ...base, ...(await planWork(catalogue, objects, target, request)) });
  } catch (error) {
    if (!base.adopted || !(error instanceof PitstopError) || isRetryable(error.code)) throw error;
    // Whatever was asked for is refused; the target is away all the same, and nobody else may know.
    return SessionPlan.parse({ ...base, ...restoreOnly, refusal: { code: error.code, message: error.message } });
  }
}

/** What the session is for: its action and image, and the way there. */
async function planWork(
  catalogue: Catalogue,
  objects: ObjectStore,
  target: Target,
  request: z.output<typeof SessionRequest>,
): Promise<Pick<SessionPlan, "action" | "image" | "ways" | "limits">> {
  if (!request.action) {
    throw new PitstopError("invalid", 'Name an action, for example "inventory"; "pitstop get actions" lists them.');
  }
  const action = await mustHave(catalogue, "Action", request.action, "actions");
  const image = await imageFor(catalogue, action, request.image);
  const ways = image ? usableWays(target, image, action) : [];
  return {
    action: {
      name: action.name,
      mode: action.mode,
      report: action.report ?? null,
      destructive: action.destructive,
      onReboot: action.onReboot,
      approval: action.approval,
      interactive: action.interactive,
      tasks: await Promise.all(action.tasks.map((task, index) => planTask(objects, task, `${index + 1}-${task.name}`))),
      params: paramsOf(action, request.params),
    },
    image,
    ways,
    limits: limitsOf(target, action, ways.length),
  };
}

/** The snapshot that a lost session left. What one left that had been proved home is of a day that is over, and is closed. */
async function openSnapshotOf(catalogue: Catalogue, target: string, session: string): Promise<BootSnapshot | null> {
  const open = await catalogue.openSnapshot(target);
  if (!open || open.session === session || !(await catalogue.getRecord(open.session))?.endedAt) return open;
  await catalogue.closeSnapshot(target, open.session);
  return null;
}

/** What a site kept of the target, and of no other. */
function keptOf({ target, kept, restoreOnly }: z.output<typeof SessionRequest>): BootSnapshot | null {
  if (!kept) return null;
  if (restoreOnly && kept.target === target) return kept;
  throw new PitstopError("invalid", `A kept boot snapshot is for restoreOnly, and of the same target; leave it out.`);
}

/** The script goes to the store; the history keeps its digest. */
async function planTask(objects: ObjectStore, task: Task, id: string): Promise<PlannedTask> {
  return plannedTask(task, id, await objects.put(Buffer.from(task.script, "utf8")));
}

/** Validates the request, fills defaults, and says which targets it means: those named, then those selected. */
export async function planCampaign(catalogue: Lookup, input: unknown): Promise<CampaignPlan> {
  const request = parse(
    CampaignRequest,
    input,
    'Give one JSON argument with targets (or select) and an action, for example {"targets": ["r1-n07"], "action": "inventory"}.',
  );
  const action = await mustHave(catalogue, "Action", request.action, "actions");
  await imageFor(catalogue, action, request.image);
  const names = new Set(request.targets ?? []);
  for (const name of names) await mustHave(catalogue, "Target", name, "targets");
  if (request.select !== undefined) {
    for (const found of await catalogue.list("Target", parseSelector(request.select))) names.add(found.name);
  }
  if (names.size === 0) {
    const why = request.select ? `no target has the labels ${request.select}` : "neither targets nor select is given";
    throw new PitstopError("invalid", `The campaign has nothing to do: ${why}.`);
  }
  if (names.size > MAX_CAMPAIGN_TARGETS) {
    throw new PitstopError(
      "invalid",
      `The campaign means ${names.size} targets, and one takes ${MAX_CAMPAIGN_TARGETS}; select fewer with each of several.`,
    );
  }
  return { ...request, targets: [...names] };
}

const parseRequest = (input: unknown) =>
  parse(
    SessionRequest,
    input,
    'Give one JSON argument with the target, for example {"target": "r1-n07", "action": "inventory"}.',
  );

/** What a person typed into a form may be anything; the sentence says which field, and what a whole one looks like. */
function parse<T>(schema: z.ZodType<T>, input: unknown, example: string): T {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const field = issue?.path.join(".") || "argument";
  throw new PitstopError("invalid", `The request's ${field} is not usable: ${issue?.message}. ${example}`);
}

async function mustHave<K extends "Target" | "Action" | "Image">(
  catalogue: Lookup,
  kind: K,
  name: string,
  plural: string,
) {
  const found = await catalogue.get(kind, name);
  if (found) return found;
  throw new PitstopError(
    "notFound",
    `There is no ${kind.toLowerCase()} "${name}"; "pitstop get ${plural}" lists them.`,
  );
}

async function imageFor(catalogue: Lookup, action: Action, asked: string | undefined): Promise<Image | null> {
  if (!action.image && asked) {
    throw new PitstopError(
      "invalid",
      `${action.name} boots no image, so --image ${asked} has no meaning; leave it out.`,
    );
  }
  const name = asked ?? action.image;
  if (!name) return null;
  const image = await mustHave(catalogue, "Image", name, "images");
  if (image.role !== "maintenance") {
    throw new PitstopError(
      "invalid",
      `The image ${name} has the role ${image.role}; a session boots a maintenance image.`,
    );
  }
  return image;
}

function limitsOf(target: Target, action: Action | null, ways: number): SessionPlan["limits"] {
  const limits = action?.limits;
  return withTotal(ways, {
    gracefulMs: durationMs(target.shutdown.graceful),
    bootMs: limits ? durationMs(limits.boot) : 0,
    bootAttempts: limits?.bootAttempts ?? 0,
    workMs: limits ? durationMs(limits.work) : 0,
    leaseMs: limits ? durationMs(limits.lease) : 0,
    homeMs: limits ? durationMs(limits.home) : DEFAULT_HOME_MS,
  });
}

/** The whole session's length: each deadline once, each boot attempt's of each way, and a reserve. */
function withTotal(ways: number, l: Omit<SessionPlan["limits"], "totalMs">): SessionPlan["limits"] {
  const bootsMs = (ways * l.bootMs * l.bootAttempts * (l.bootAttempts + 1)) / 2;
  return { ...l, totalMs: l.gracefulMs + bootsMs + l.workMs + l.homeMs + RESERVE_MS };
}
