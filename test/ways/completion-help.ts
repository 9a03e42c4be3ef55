import type { PlannedTask, TaskResult } from "../../src/domain/session.js";
import type { WorkSeen } from "../../src/ways/completion.js";

export const LIMITS = {
  ...{ gracefulMs: 1, bootMs: 2, bootAttempts: 1, workMs: 3_000, leaseMs: 400, homeMs: 5, totalMs: 6 },
};

export const task = (id: string): PlannedTask => ({
  ...{ id, name: id, scriptSha256: "0".repeat(64), timeoutMs: 20, destructive: false, devices: [] },
});

export const ended = (id: string, status: TaskResult["status"] = "succeeded"): TaskResult => ({
  ...{ id, name: id, status, exitCode: status === "succeeded" ? 0 : 1, durationMs: 1, reason: null },
  ...{ findingSha256: null, logSha256: null },
});

export const nothing: WorkSeen = { tasks: [], results: [], last: null, open: false, done: null };
