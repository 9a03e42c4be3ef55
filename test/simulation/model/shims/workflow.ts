import { ActivityFailure, ApplicationFailure, CancelledFailure } from "@temporalio/common";
import { after, cancel, current, within } from "../clock.js";
import type { ActivityOptions, Execution } from "../temporal.js";

/** As much of @temporalio/workflow as a session uses, with its meaning. Temporal itself is taken as right. */
export { ActivityFailure, ApplicationFailure, CancelledFailure };
/** No session of the simulation began with an older build. */
export const patched = (): boolean => true;
export const ActivityCancellationType = { WAIT_CANCELLATION_COMPLETED: "WAIT_CANCELLATION_COMPLETED" } as const;

export function isCancellation(error: unknown): boolean {
  if (error instanceof CancelledFailure) return true;
  return error instanceof Error && error.name === "ActivityFailure" && isCancellation((error as ActivityFailure).cause);
}

const execution = (): Execution => {
  const { workflow } = current();
  if (!workflow) throw new TypeError("A workflow's function was called outside of one.");
  return workflow as Execution;
};

export class CancellationScope {
  readonly cancelRequested: Promise<never>;
  private requested = false;
  private request: (error: Error) => void = () => undefined;
  readonly cancellable: boolean;

  constructor(options: { cancellable?: boolean } = {}, parent: CancellationScope | null = CancellationScope.current()) {
    this.cancellable = options.cancellable ?? true;
    this.cancelRequested = new Promise<never>((_, reject) => {
      this.request = (error) => {
        this.requested = true;
        reject(error);
      };
    });
    this.cancelRequested.catch(() => undefined);
    if (!parent?.cancellable) return;
    this.requested = parent.requested;
    parent.cancelRequested.catch((error: Error) => this.request(error));
  }

  get consideredCancelled(): boolean {
    return this.requested && this.cancellable;
  }

  run<T>(work: () => Promise<T>): Promise<T> {
    return within({ ...current(), scope: this }, work);
  }

  cancel(): void {
    this.request(new CancelledFailure("Cancellation scope cancelled"));
  }

  static current(): CancellationScope {
    return (current().scope as CancellationScope | undefined) ?? new CancellationScope({}, null);
  }

  static cancellable<T>(work: () => Promise<T>): Promise<T> {
    return new CancellationScope().run(work);
  }

  static nonCancellable<T>(work: () => Promise<T>): Promise<T> {
    return new CancellationScope({ cancellable: false }).run(work);
  }
}

/** Tells `act` of the cancellation of the scope in which this is called, once. */
function onCancel(act: (error: Error) => void): void {
  const scope = CancellationScope.current();
  if (scope.cancellable) scope.cancelRequested.catch(act);
}

export function sleep(ms: number, _options?: object): Promise<void> {
  return new Promise((resolve, reject) => {
    const run = execution();
    if (CancellationScope.current().consideredCancelled) return reject(new CancelledFailure("Timer cancelled"));
    const timer = after(ms, () => run.do("a timer fired", resolve));
    onCancel((error) => {
      cancel(timer);
      reject(error);
    });
  });
}

export async function condition(is: () => boolean, ms?: number, _options?: object): Promise<boolean> {
  if (ms === undefined) {
    await until(is);
    return true;
  }
  const scope = new CancellationScope();
  return await scope.run(async () => {
    try {
      return await Promise.race([sleep(ms).then(() => false), until(is).then(() => true)]);
    } finally {
      scope.cancel();
    }
  });
}

function until(is: () => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    if (CancellationScope.current().consideredCancelled) return reject(new CancelledFailure("Condition cancelled"));
    if (is()) return resolve();
    execution().conditions.push({ is, resolve });
    onCancel(reject);
  });
}

function proxy(base: ActivityOptions, local: boolean) {
  return new Proxy(
    {},
    {
      get: (_, name: string) => {
        const call = (options: Partial<ActivityOptions>, args: unknown[]) => {
          const run = execution();
          if (CancellationScope.current().consideredCancelled) {
            return Promise.reject(new CancelledFailure("Activity cancelled before scheduled"));
          }
          const { result, requestCancel } = run.activity(name, args[0], { ...base, ...options }, local);
          onCancel(requestCancel);
          return result;
        };
        return Object.assign((...args: unknown[]) => call({}, args), { executeWithOptions: call });
      },
    },
  );
}

export const proxyActivities = (options: ActivityOptions) => proxy(options, false);
export const proxyLocalActivities = (options: ActivityOptions) => proxy(options, true);

interface Message {
  kind: "query" | "signal" | "update";
  name: string;
}
export const defineQuery = (name: string): Message => ({ kind: "query", name });
export const defineSignal = (name: string): Message => ({ kind: "signal", name });
export const defineUpdate = (name: string): Message => ({ kind: "update", name });

export function setHandler(
  message: Message,
  handle: (input: unknown) => unknown,
  options: { validator?: (input: unknown) => void } = {},
): void {
  execution().handlers.set(message.name, { handle, validate: options.validator ?? (() => undefined) });
}

export function upsertSearchAttributes(pairs: { key: { name: string }; value: unknown }[]): void {
  for (const { key, value } of pairs) execution().note(key.name, value);
}
export const setCurrentDetails = (): void => undefined;
export const workflowInfo = () => {
  const { id, runId } = execution();
  return { workflowId: id, firstExecutionRunId: runId, runId };
};
export const getExternalWorkflowHandle = () => ({ signal: async () => undefined });
