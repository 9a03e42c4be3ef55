import { ActivityFailure, ApplicationFailure, CancelledFailure, TimeoutFailure } from "@temporalio/common";
import { after, type Context, cancel, current, elapsed, inWorld, Life, outside, within } from "./clock.js";
import { WorkflowExecutionAlreadyStartedError, WorkflowNotFoundError } from "./shims/client.js";
import type { World } from "./world.js";

export interface ActivityOptions {
  taskQueue?: string;
  startToCloseTimeout: string | number;
  scheduleToStartTimeout?: string | number;
  scheduleToCloseTimeout?: string | number;
  heartbeatTimeout?: string | number;
  retry?: {
    initialInterval?: string | number;
    maximumInterval?: string | number;
    maximumAttempts?: number;
    nonRetryableErrorTypes?: string[];
  };
}

interface Handler {
  handle: (input: unknown) => unknown;
  validate: (input: unknown) => void;
}
interface Worker {
  life: Life;
  activities: Record<string, (input: unknown) => Promise<unknown>>;
}

interface Signal {
  name: string;
  payload: unknown;
}

const UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const CENTRAL = "pitstop";
/** Longer than any workflow task takes to begin. */
const TASK_MS = 30;
/** Less than a boot is waited for, and longer than most images work. */
const HELD_MS = 100_000;

function msOf(given: string | number | undefined): number | null {
  if (given === undefined || typeof given === "number") return given ?? null;
  const [, number = "", unit = ""] = /^(\d+)(ms|s|m|h)$/.exec(given) ?? [];
  return Number(number) * (UNITS[unit] ?? Number.NaN);
}

const copy = <T>(value: T): T => (value === undefined ? value : (JSON.parse(JSON.stringify(value)) as T));

/** Workflows that never forget, activities at least once, and messages as late and as often as the adversary likes. */
export class Temporal {
  private readonly workers = new Map<string, Worker>();
  private readonly waiting = new Map<string, (() => void)[]>();
  readonly executions: Execution[] = [];
  runs = 0;
  /** By how much the server's clock is wrong, by which workflows know the time. Its timers are not affected. */
  private skewMs = 0;

  constructor(readonly world: World) {}

  poll(queue: string, worker: Worker): void {
    this.workers.set(queue, worker);
    const held = this.waiting.get(queue) ?? [];
    this.waiting.set(queue, []);
    for (const act of held) inWorld(() => after(this.world.random.between(1, 40), act));
  }

  leave(queue: string): void {
    this.workers.delete(queue);
  }

  workerOf(queue: string): Worker | null {
    const worker = this.workers.get(queue);
    return worker?.life.alive ? worker : null;
  }

  /** Runs `act` when somebody polls the queue. */
  whenPolled(queue: string, act: () => void): void {
    if (this.workerOf(queue)) act();
    else this.waiting.set(queue, [...(this.waiting.get(queue) ?? []), act]);
  }

  open(id: string): Execution | null {
    return this.executions.find((one) => one.id === id && one.status === "open") ?? null;
  }

  /** Null: one with this id is open, which is the lock. */
  start(id: string, workflow: (input: never) => Promise<unknown>, input: unknown): Execution | null {
    if (this.open(id)) return null;
    const run = new Execution(this, id, this.world.random.uuid());
    run.setClock(this.skewMs);
    this.executions.push(run);
    run.start(workflow, copy(input));
    return run;
  }

  setClock(skewMs: number): void {
    this.skewMs = skewMs;
    for (const run of this.executions) run.setClock(skewMs);
  }

  /** As much of the client as the product uses. */
  client() {
    const { world } = this;
    const ask = <T>(act: () => T): Promise<T> =>
      outside(world.random.between(1, 30), () => {
        if (world.adversary.temporalFault("describe")) {
          world.promises.couldNotAsk();
          throw new Error("14 UNAVAILABLE: no connection");
        }
        return act();
      });
    const find = (id: string, runId?: string): Execution => {
      const run = runId
        ? this.executions.find((one) => one.id === id && one.runId === runId)
        : (this.open(id) ?? this.executions.findLast((one) => one.id === id));
      if (!run) throw new WorkflowNotFoundError();
      return run;
    };
    const describe = (run: Execution) => ({
      status: { name: run.status === "open" ? "RUNNING" : run.status.toUpperCase() },
      runId: run.runId,
      raw: { workflowExecutionInfo: { firstRunId: run.runId } },
      typedSearchAttributes: { get: ({ name }: { name: string }) => run.attributes.get(name) },
    });
    const getHandle = (id: string, runId?: string) => ({
      signal: (name: string, payload: unknown) => this.signal(id, name, copy(payload)),
      describe: () => ask(() => describe(find(id, runId))),
      result: () => ask(() => copy(find(id, runId).result)),
    });
    const list = async function* (this: Temporal) {
      yield* await ask(() =>
        this.executions.filter((one) => one.status === "open").map(({ id }) => ({ workflowId: id })),
      );
    }.bind(this);
    const start = (_type: string, options: { workflowId: string; args: unknown[] }) =>
      ask(() => {
        const run = world.launch(options.workflowId, options.args[0]);
        if (!run) throw new WorkflowExecutionAlreadyStartedError();
        return { workflowId: run.id, firstExecutionRunId: run.runId };
      });
    return { workflow: { getHandle, list, start } };
  }

  private signal(id: string, name: string, payload: unknown): Promise<void> {
    return outside(this.world.random.between(1, 30), () => {
      const fault = this.world.adversary.temporalFault("signal");
      if (fault === "lost") throw new Error("14 UNAVAILABLE: no connection");
      const run = this.open(id);
      if (!run) throw new WorkflowNotFoundError();
      for (const lateMs of this.world.adversary.deliveries()) {
        if (this.world.later.holdsSignal()) run.hold(name, payload);
        else run.signal(name, payload, lateMs);
      }
      if (fault === "executed") throw new Error("4 DEADLINE_EXCEEDED");
    });
  }
}

/** One workflow: its handlers, its conditions, and what it waits for. */
export class Execution {
  status: "open" | "completed" | "failed" | "terminated" = "open";
  result: unknown = null;
  failure: Error | null = null;
  endedAt: number | null = null;
  readonly attributes = new Map<string, unknown>();
  readonly handlers = new Map<string, Handler>();
  conditions: { is: () => boolean; resolve: () => void }[] = [];
  private readonly life: Life;
  private readonly context: Context;
  private early: Signal[] = [];
  /** Signals that the next one overtakes. */
  private held: Signal[] = [];

  constructor(
    readonly temporal: Temporal,
    readonly id: string,
    readonly runId: string,
  ) {
    this.life = new Life(`workflow ${id}`, true);
    this.context = { life: this.life, workflow: this };
  }

  setClock(skewMs: number): void {
    this.life.skewMs = skewMs;
  }

  get phase(): string {
    return String(this.attributes.get("PitstopPhase") ?? "planning");
  }

  start(workflow: (input: never) => Promise<unknown>, input: unknown): void {
    this.do("started", () => {
      const run = workflow(input as never);
      run.then(
        (result) => this.end("completed", copy(result), null),
        (error: Error) => this.end("failed", null, error),
      );
      for (const signal of this.early.splice(0)) this.handle(signal);
    });
  }

  /** One workflow task, as soon as there is somebody to do it. */
  do(_what: string, act: () => void): void {
    const { temporal } = this;
    inWorld(() =>
      after(temporal.world.random.between(1, 25), () =>
        temporal.whenPolled(CENTRAL, () => {
          if (!this.life.alive) return;
          within(this.context, () => {
            act();
            after(0, () => this.look());
          });
        }),
      ),
    );
  }

  private look(): void {
    const held = this.conditions.filter((one) => one.is());
    if (held.length === 0) return;
    this.conditions = this.conditions.filter((one) => !held.includes(one));
    for (const one of held) one.resolve();
    after(0, () => this.look());
  }

  note(name: string, value: unknown): void {
    if (this.attributes.get(name) === value) return;
    this.attributes.set(name, value);
    if (name !== "PitstopPhase") return;
    this.temporal.world.tell(`session ${this.runId.slice(0, 4)}: ${String(value)}`);
    this.temporal.world.promises.phase(this, String(value));
    this.temporal.world.entered(this, String(value));
  }

  signal(name: string, payload: unknown, lateMs: number): void {
    inWorld(() =>
      after(lateMs, () => {
        if (this.status !== "open") return;
        this.do(`signal ${name}`, () => {
          if (this.handlers.has(name)) this.handle({ name, payload });
          else this.early.push({ name, payload });
        });
        for (const one of this.held.splice(0)) this.signal(one.name, one.payload, TASK_MS);
      }),
    );
  }

  /** Delivered after the next one, or after a while where none comes. */
  hold(name: string, payload: unknown): void {
    const signal = { name, payload };
    this.held.push(signal);
    inWorld(() =>
      after(HELD_MS, () => {
        if (!this.held.includes(signal)) return;
        this.held = this.held.filter((one) => one !== signal);
        this.signal(name, payload, 0);
      }),
    );
  }

  private handle({ name, payload }: Signal): void {
    try {
      this.handlers.get(name)?.handle(copy(payload));
    } catch (error) {
      const { promises } = this.temporal.world;
      promises.break(1, `The signal ${name} stops the session ${this.runId} for ever: ${String(error)}`);
    }
  }

  /** Whether the update was taken. */
  update(name: string, input: unknown): Promise<boolean> {
    return new Promise((resolve) => {
      this.do(`update ${name}`, () => {
        const handler = this.handlers.get(name);
        try {
          handler?.validate(input);
          handler?.handle(input);
          resolve(Boolean(handler));
        } catch {
          resolve(false);
        }
      });
    });
  }

  query<T>(name: string): T | null {
    return (this.handlers.get(name)?.handle(undefined) as T | undefined) ?? null;
  }

  terminate(): void {
    if (this.status !== "open") return;
    this.life.alive = false;
    this.close("terminated");
  }

  private end(status: "completed" | "failed", result: unknown, failure: Error | null): void {
    this.result = result;
    this.failure = failure;
    this.close(status);
  }

  private close(status: Execution["status"]): void {
    this.status = status;
    this.endedAt = elapsed();
    this.temporal.world.tell(`session ${this.runId.slice(0, 4)}: ${status}${this.failure ? ` ${this.failure}` : ""}`);
    inWorld(() => this.temporal.world.promises.ended(this));
  }

  activity(name: string, input: unknown, options: ActivityOptions, local: boolean) {
    const call = new Call(this, name, copy(input), options, local);
    inWorld(() => call.schedule(0));
    return { result: call.result, requestCancel: () => inWorld(() => call.requestCancel()) };
  }
}

/** One activity as the server sees it: its attempts, its time-outs, and the one answer that the workflow gets. */
class Call {
  readonly result: Promise<unknown>;
  private settle: { resolve: (value: unknown) => void; reject: (error: Error) => void };
  private attempt = 0;
  private running: { abort: AbortController; beatAt: number } | null = null;
  private cancelRequested = false;
  private over = false;
  private readonly scheduledAt = elapsed();
  private next: ReturnType<typeof after> | null = null;

  constructor(
    private readonly run: Execution,
    private readonly name: string,
    private readonly input: unknown,
    private readonly options: ActivityOptions,
    private readonly local: boolean,
  ) {
    let settle: Call["settle"] | null = null;
    this.result = new Promise((resolve, reject) => {
      settle = { resolve, reject };
    });
    this.settle = settle as unknown as Call["settle"];
  }

  private get queue(): string {
    return this.local ? CENTRAL : (this.options.taskQueue ?? CENTRAL);
  }

  schedule(inMs: number): void {
    const { temporal } = this.run;
    const { world } = temporal;
    this.next = after(inMs, () => {
      let started = false;
      const limitMs = msOf(this.options.scheduleToStartTimeout);
      if (limitMs !== null) {
        after(limitMs, () => {
          if (!started)
            this.fail(new TimeoutFailure("activity ScheduleToStart timeout", undefined, "SCHEDULE_TO_START"));
        });
      }
      after(this.local ? 1 : world.random.between(2, 30) + world.adversary.activityDelay(), () => {
        const begin = () => {
          // Of a session that is over Temporal hands nothing out any more; what runs then, runs on.
          if (started || this.over || this.run.status !== "open" || !this.run.temporal.workerOf(this.queue)) return;
          started = true;
          this.begin();
        };
        temporal.whenPolled(this.queue, begin);
      });
    });
  }

  private begin(): void {
    const worker = this.run.temporal.workerOf(this.queue);
    const activity = worker?.activities[this.name];
    if (!worker || !activity) throw new Error(`Nobody has the activity ${this.name}.`);
    const nth = ++this.attempt;
    const abort = new AbortController();
    const running = { abort, beatAt: elapsed() };
    this.running = running;
    const { world } = this.run.temporal;
    const current = () => this.running === running && !this.over;
    const context: Context = {
      life: worker.life,
      activity: {
        info: { isLocal: this.local, attempt: nth },
        session: this.run.runId,
        cancellationSignal: abort.signal,
        heartbeat: () => this.heartbeat(running),
      },
    };
    if (!this.local) world.tell(`${this.run.runId.slice(0, 4)} ${this.name}${nth > 1 ? ` (attempt ${nth})` : ""}`);
    const report = (act: () => void) => inWorld(() => after(world.random.between(1, 20), () => current() && act()));
    within(context, () => activity(copy(this.input))).then(
      (value) => {
        if (!worker.life.alive) return;
        world.promises.answered(this.run, this.name, value);
        // The answer is lost on its way: the server knows only that the beats have stopped.
        if (!this.local && world.adversary.losesCompletion(this.name)) return;
        report(() => this.succeed(value));
      },
      (error: Error) => {
        if (!worker.life.alive) return;
        report(() => this.failed(error));
      },
    );
    const limitMs = msOf(this.options.startToCloseTimeout) ?? 0;
    after(limitMs, () => {
      if (current()) this.failed(new TimeoutFailure("activity StartToClose timeout", undefined, "START_TO_CLOSE"));
    });
    const beatMs = this.local ? null : msOf(this.options.heartbeatTimeout);
    if (beatMs !== null) this.watch(running, beatMs);
    // The server does not know that a local activity's worker died; the workflow task's own time-out tells it.
    if (this.local || beatMs === null) this.watchWorker(running, worker);
  }

  private watch(running: { beatAt: number }, beatMs: number): void {
    after(Math.max(1, running.beatAt + beatMs - elapsed()), () => {
      if (this.running !== running || this.over) return;
      if (elapsed() - running.beatAt >= beatMs) {
        this.failed(new TimeoutFailure("activity Heartbeat timeout", undefined, "HEARTBEAT"));
      } else this.watch(running, beatMs);
    });
  }

  private watchWorker(running: object, worker: Worker): void {
    after(10_000, () => {
      if (this.running !== running || this.over) return;
      if (worker.life.alive) {
        this.watchWorker(running, worker);
        return;
      }
      this.running = null;
      this.schedule(0);
    });
  }

  private heartbeat(running: { abort: AbortController; beatAt: number }): void {
    if (this.run.temporal.world.adversary.temporalFault("heartbeat")) return;
    running.beatAt = elapsed();
    // A server that has given the attempt up, or wants it cancelled, says so in its answer.
    if ((this.cancelRequested || this.running !== running || this.over) && !running.abort.signal.aborted) {
      running.abort.abort(new CancelledFailure("CANCELLED"));
    }
  }

  requestCancel(): void {
    if (this.over) return;
    this.cancelRequested = true;
    if (this.running && !this.local) return;
    cancel(this.next);
    this.running?.abort.abort();
    this.fail(new CancelledFailure("Activity cancelled"));
  }

  private failed(error: Error): void {
    this.running = null;
    if (error instanceof CancelledFailure && this.cancelRequested) {
      this.fail(error);
      return;
    }
    const failure = asFailure(error);
    const { retry = {} } = this.options;
    const maximum = retry.maximumAttempts ?? Number.POSITIVE_INFINITY;
    const final =
      failure instanceof ApplicationFailure &&
      (failure.nonRetryable || (retry.nonRetryableErrorTypes ?? []).includes(failure.type ?? ""));
    const totalMs = msOf(this.options.scheduleToCloseTimeout) ?? Number.POSITIVE_INFINITY;
    const late = elapsed() - this.scheduledAt >= totalMs;
    if (final || late || this.cancelRequested || this.attempt >= maximum) {
      this.fail(failure);
      return;
    }
    const first = msOf(retry.initialInterval) ?? 1_000;
    const last = msOf(retry.maximumInterval) ?? 100 * first;
    this.run.temporal.world.tell(`${this.run.runId.slice(0, 4)} ${this.name} failed, again: ${failure.message}`);
    this.schedule(Math.min(last, first * 2 ** (this.attempt - 1)));
  }

  private succeed(value: unknown): void {
    this.over = true;
    this.run.do(`${this.name} completed`, () => this.settle.resolve(copy(value)));
  }

  private fail(cause: Error): void {
    if (this.over) return;
    this.over = true;
    const { world } = this.run.temporal;
    world.tell(`${this.run.runId.slice(0, 4)} ${this.name} failed: ${cause.message}`);
    world.promises.failed(cause);
    const failure = new ActivityFailure(
      "Activity task failed",
      this.name,
      "1",
      "RETRY_POLICY_NOT_SET",
      "worker",
      cause,
    );
    this.run.do(`${this.name} failed`, () => this.settle.reject(failure));
  }
}

function asFailure(error: Error): Error {
  if (error instanceof TimeoutFailure) return error;
  if (!(error instanceof ApplicationFailure)) return ApplicationFailure.create({ message: error.message });
  const { message, type, nonRetryable, details } = error;
  return ApplicationFailure.create({
    message,
    nonRetryable: nonRetryable ?? false,
    ...(type ? { type } : {}),
    ...(details ? { details: copy(details) } : {}),
  });
}

export const inActivityOf = (): string | null =>
  (current().activity as { session: string } | undefined)?.session ?? null;
