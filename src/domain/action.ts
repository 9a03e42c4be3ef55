import { z } from "zod";
import { Duration, Labels, Name } from "./basics.js";
import { PitstopError } from "./errors.js";

/** The name of a task's parameter becomes an environment variable `PARAM_<NAME>` of its script. */
export const ParamName = z
  .string()
  .regex(/^[a-z][a-z0-9_]{0,31}$/, "a parameter is lower-case letters, digits and '_'");
export const ParamValue = z
  .string()
  .max(4096)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused here
  .regex(/^[^\u0000-\u001f\u007f]*$/, "a parameter's value has no control characters");

/** A subroutine that the agent executes with /bin/sh. What it writes to $PITSTOP_FINDING, else its last line if that is JSON, is its finding. */
export const Task = z.strictObject({
  name: Name,
  script: z
    .string()
    .min(1)
    .max(256 * 1024),
  timeout: Duration.default("10m"),
  /** Writes to what survives the session. Only the devices that a destructive task names are unlocked for it. */
  destructive: z.boolean().default(false),
  devices: z
    .array(z.string().regex(/^\/dev\/[a-zA-Z0-9/_-]+$/, "a device is a path below /dev"))
    .max(16)
    .default([]),
});
export type Task = z.infer<typeof Task>;

export const Limits = z.strictObject({
  /** From power-on to the agent's hello; a further attempt by the same way has this much more. */
  boot: Duration.default("10m"),
  /** How often each boot way is armed, until the image makes contact. */
  bootAttempts: z.number().int().min(1).max(5).default(2),
  /** From hello to the end of the work. */
  work: Duration.default("1h"),
  /** The agent's dead-man lease: without word from the session for so long, the image goes home by itself. */
  lease: Duration.default("5m"),
  /** From power-on to the home check's proof. */
  home: Duration.default("15m"),
});
export type Limits = z.infer<typeof Limits>;

export const Action = z
  .strictObject({
    kind: z.literal("Action"),
    name: Name,
    labels: Labels,
    description: z.string().max(1024).default(""),
    /** The maintenance image. None: the target is rebooted into its own system, which proves the way home. */
    image: Name.optional(),
    /** `active`: the server hands out each task. `passive`: the image does its work and says `done`. */
    mode: z.enum(["active", "passive"]),
    tasks: z.array(Task).max(64).default([]),
    params: z
      .record(ParamName, z.strictObject({ default: ParamValue.optional(), description: z.string().optional() }))
      .default({}),
    /** The findings of the action are checked against this report's schema. */
    report: z.enum(["inventory"]).optional(),
    destructive: z.boolean().default(false),
    /** An unplanned reboot in the image: `restore` goes home, `resume` boots the image again and goes on. */
    onReboot: z.enum(["restore", "resume"]).default("restore"),
    /** Someone must `approve` before anything happens. */
    approval: z.boolean().default(false),
    /** With `true`, an active session stays in the image after its tasks and takes more by `supplyTask` until the work deadline. */
    interactive: z.boolean().default(false),
    limits: Limits.default({ boot: "10m", bootAttempts: 2, work: "1h", lease: "5m", home: "15m" }),
  })
  .refine((a) => a.destructive || !a.tasks.some((t) => t.destructive), {
    message: "an action with a destructive task says destructive: true",
    path: ["destructive"],
  })
  .refine((a) => a.image !== undefined || a.tasks.length === 0, {
    message: "an action with tasks names the image that they run in",
    path: ["image"],
  });
export type Action = z.infer<typeof Action>;

/** The value of each parameter that the action declares: what is given, else its default. `invalid` for others, and for none. */
export function paramsOf(action: Action, given: Record<string, string>): Record<string, string> {
  const unknown = Object.keys(given).find((name) => !Object.hasOwn(action.params, name));
  if (unknown) {
    const known = Object.keys(action.params).join(", ") || "none";
    throw new PitstopError("invalid", `${action.name} has no parameter "${unknown}"; it has ${known}.`);
  }
  const params: Record<string, string> = {};
  for (const [name, declared] of Object.entries(action.params)) {
    const value = Object.hasOwn(given, name) ? given[name] : declared.default;
    if (value === undefined) {
      throw new PitstopError("invalid", `${action.name} needs the parameter "${name}"; give --param ${name}=VALUE.`);
    }
    params[name] = value;
  }
  return params;
}
