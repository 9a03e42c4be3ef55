import { z } from "zod";

/**
 * The agent protocol, version 1 (docs/agent-protocol.md). JSON over HTTPS on the targets' TLS listener.
 * Sizes are bounded where the gateway reads them: 64 KiB for a message, 1 MiB for a result, 16 MiB a task's log.
 */
export const AGENT_PROTOCOL = "1";

const Text = z.string().max(1024);

export const HelloRequest = z.object({
  protocol: z.literal(AGENT_PROTOCOL),
  nonce: z.string().regex(/^[A-Za-z0-9_-]{20,64}$/),
  /** /proc/sys/kernel/random/boot_id: tells a repeated hello from a second boot. */
  bootId: z.string().regex(/^[0-9a-fA-F-]{36}$/),
  uuid: Text.nullable().default(null),
  macs: z.array(Text).max(64).default([]),
  firmware: z.enum(["uefi", "bios"]).nullable().default(null),
  kernel: Text.nullable().default(null),
  /** Seconds since kernel start. */
  uptimeSeconds: z.number().min(0).nullable().default(null),
});
export type HelloRequest = z.infer<typeof HelloRequest>;

/** What the agent is told to do next. `cancel` names a task that it should stop. */
export const AgentTask = z.object({
  id: z.string(),
  name: z.string(),
  script: z.string(),
  /** Environment of the script: PITSTOP_* and PARAM_*. */
  env: z.record(z.string(), z.string()),
  timeoutSeconds: z.number().int(),
  /** Block devices unlocked for writing while this task runs. */
  unlock: z.array(z.string()),
});
export type AgentTask = z.infer<typeof AgentTask>;

export const HelloResponse = z.object({
  token: z.string(),
  session: z.string(),
  mode: z.enum(["active", "passive"]),
  /** The dead-man lease: seconds from now until the image goes home by itself. */
  leaseSeconds: z.number().int(),
  /** Passive mode: all tasks at once, to be run in order. Active mode: empty. */
  tasks: z.array(AgentTask),
});
export type HelloResponse = z.infer<typeof HelloResponse>;

export const NextResponse = z.object({
  /** `wait`: ask again. `task`: run it. `cancel`: stop the task named. `finish`: sync, then do what `power` says. */
  do: z.enum(["wait", "task", "cancel", "finish"]),
  task: AgentTask.optional(),
  cancel: z.string().optional(),
  power: z.enum(["off", "reboot", "stay"]).optional(),
  leaseSeconds: z.number().int(),
});
export type NextResponse = z.infer<typeof NextResponse>;

export const ProgressRequest = z.object({
  message: Text.default(""),
  percent: z.number().min(0).max(100).nullable().default(null),
});
export type ProgressRequest = z.infer<typeof ProgressRequest>;

/** Answer to progress and to a log's piece: the task was cancelled, stop it. */
export const ProgressResponse = z.object({ cancel: z.boolean(), leaseSeconds: z.number().int() });
export type ProgressResponse = z.infer<typeof ProgressResponse>;

export const ResultRequest = z.object({
  status: z.enum(["succeeded", "failed", "timedOut", "cancelled"]),
  exitCode: z.number().int().nullable(),
  /** The last JSON document that the script printed, if any. */
  finding: z.unknown().optional(),
  /** Milliseconds that the script ran, by the agent's monotonic clock. */
  durationMs: z.number().int().min(0),
  reason: Text.nullable().default(null),
});
export type ResultRequest = z.infer<typeof ResultRequest>;

/** The image is finished (passive mode), or gives up. Results of passive tasks were sent before, each by its id. */
export const DoneRequest = z.object({
  outcome: z.enum(["succeeded", "failed"]),
  finding: z.unknown().optional(),
  reason: Text.nullable().default(null),
});
export type DoneRequest = z.infer<typeof DoneRequest>;

/** What a site tells the session of its agent; kept in the site's journal until the session has acknowledged it. */
export const SessionMessage = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("hello"), request: HelloRequest }),
  z.object({ kind: z.literal("done"), request: DoneRequest }),
  z.object({ kind: z.literal("rebooted"), bootId: z.string(), how: z.string() }),
]);
export type SessionMessage = z.infer<typeof SessionMessage>;
