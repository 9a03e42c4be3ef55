import { current } from "../clock.js";
import { theWorld } from "../world.js";

type Activities = Record<string, (input: unknown) => Promise<unknown>>;

export const workerOptions = (): object => ({});
export const workflowBundle = (): object => ({});
export const installRuntime = () => async (): Promise<void> => undefined;

/** Polls the queue of the simulated Temporal until its process dies. */
export async function runWorker(options: { taskQueue: string; activities: Activities }) {
  const { temporal } = theWorld();
  temporal.poll(options.taskQueue, { life: current().life, activities: options.activities });
  return { failed: new Promise<never>(() => undefined), stop: async () => temporal.leave(options.taskQueue) };
}

export const ensureSearchAttributes = async (): Promise<void> => undefined;
export const knowsSearchAttributes = async (): Promise<boolean> => true;
