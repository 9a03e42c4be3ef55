import { after, cancel } from "../clock.js";

/** As `setTimeout` of node:timers/promises, in virtual time. */
export function setTimeout(ms = 0, value?: unknown, options: { signal?: AbortSignal } = {}): Promise<unknown> {
  const { signal } = options;
  return new Promise((resolve, reject) => {
    const aborted = () => {
      cancel(event);
      reject(Object.assign(new Error("The operation was aborted"), { name: "AbortError", code: "ABORT_ERR" }));
    };
    const event = after(ms, () => {
      signal?.removeEventListener("abort", aborted);
      resolve(value);
    });
    if (signal?.aborted) aborted();
    else signal?.addEventListener("abort", aborted, { once: true });
  });
}
