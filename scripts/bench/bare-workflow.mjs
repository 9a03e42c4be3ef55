import { proxyActivities, proxyLocalActivities } from "@temporalio/workflow";

/** As many local and remote activities as a session has, and nothing in them. */
export async function bare({ local, remote }) {
  const here = proxyLocalActivities({ startToCloseTimeout: "1m" });
  const there = proxyActivities({ startToCloseTimeout: "1m" });
  for (let i = 0; i < local; i++) await here.nothing();
  for (let i = 0; i < remote; i++) await there.nothing();
}
