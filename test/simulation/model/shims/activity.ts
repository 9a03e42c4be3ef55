import { ApplicationFailure, CancelledFailure } from "@temporalio/common";
import { current } from "../clock.js";

export interface ActivityContext {
  info: { isLocal: boolean; attempt: number };
  /** The session on whose behalf it runs, for the promises. */
  session: string;
  cancellationSignal: AbortSignal;
  heartbeat(): void;
}

export const Context = {
  current(): ActivityContext {
    const { activity } = current();
    if (!activity) throw new TypeError("An activity's context was asked for outside of one.");
    return activity as ActivityContext;
  },
};

export { ApplicationFailure, CancelledFailure };
