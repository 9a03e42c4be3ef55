import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { isAbsolute, join, resolve } from "node:path";
import { parse as parseYaml } from "yaml";
import { z } from "zod";
import { PitstopError } from "./domain/errors.js";

/** `host:port`; an empty host or `*` is every address. */
const Listen = z
  .string()
  .regex(/^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]*|\*):\d{1,5}$/, "give host:port, for example 127.0.0.1:8480")
  .transform((text) => {
    const at = text.lastIndexOf(":");
    const host = text.slice(0, at).replace(/^\[|\]$/g, "");
    return { host: host === "" || host === "*" ? "0.0.0.0" : host, port: Number(text.slice(at + 1)) };
  });
export type Listen = z.infer<typeof Listen>;

const Origin = z
  .string()
  .regex(/^https?:\/\/[^/\s]+\/?$/, "give an origin such as http://10.0.2.2:8481, without a path")
  .transform((text) => text.replace(/\/$/, ""));

/** What one process of the program does: people's and programs' door, the decisions, and what is near the targets. */
export const ROLES = ["api", "sessions", "site"] as const;
export type Role = (typeof ROLES)[number];

const Roles = z
  .string()
  .transform((text) => text.split(",").map((role) => role.trim()))
  .pipe(z.array(z.enum(ROLES, `name roles of ${ROLES.join(", ")}, with commas between them`)).min(1))
  .transform((roles) => ROLES.filter((role) => roles.includes(role)));

/** Temporal joins the two with a dot. */
const DeploymentPart = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/, "give letters, digits, '_' and '-'");

const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "silent"] as const;

/**
 * Every setting. The key in `pitstop.yaml` is the name in lower case without `PITSTOP_` (`site_listen`); the
 * environment wins. Connection settings of Temporal are Temporal's own (`TEMPORAL_ADDRESS`, profiles).
 */
const Settings = z.object({
  /** Folder of all state. */
  PITSTOP_DATA: z.string().min(1).default(".pitstop"),
  /** Operators' listener: REST. */
  PITSTOP_LISTEN: Listen.prefault("127.0.0.1:8480"),
  /** Targets' listener, plain HTTP: boot files only. */
  PITSTOP_SITE_LISTEN: Listen.prefault("0.0.0.0:8481"),
  /** Targets' listener, TLS: boot files, media, agent. */
  PITSTOP_SITE_TLS_LISTEN: Listen.prefault("0.0.0.0:8482"),
  /** How targets reach the plain listener. Default: this machine's name and the listener's port. */
  PITSTOP_SITE_URL: Origin.optional(),
  /** How targets reach the TLS listener. */
  PITSTOP_SITE_TLS_URL: Origin.optional(),
  /** How BMCs reach the TLS (or plain) listener for virtual media. Default: the TLS URL. */
  PITSTOP_SITE_BMC_URL: Origin.optional(),
  /** The CLI's server. */
  PITSTOP_URL: Origin.optional(),
  PITSTOP_TOKEN: z.string().min(16, "a token has at least 16 characters; copy the whole of it").optional(),
  DATABASE_URL: z
    .string()
    .regex(/^postgres(ql)?:\/\//, "give a postgres:// URL")
    .optional(),
  /** This site's name; its queue is `pitstop-site-<name>`. */
  PITSTOP_SITE: z
    .string()
    .regex(/^[a-z0-9][a-z0-9.-]{0,62}$/, "a site's name is lower-case letters, digits, '-' and '.'")
    .default("default"),
  /** Which roles this process has. */
  PITSTOP_ROLES: Roles.prefault(ROLES.join(",")),
  /** The variant of the base image that is built and registered: `cloud` for virtual machines, `generic` for servers. */
  PITSTOP_BASE_IMAGE: z.enum(["cloud", "generic"]).default("cloud"),
  /** Reference to the keys that encrypt what Temporal keeps of sessions. Default: nothing is encrypted. */
  PITSTOP_PAYLOAD_KEY: z.string().min(1).optional(),
  /** What `serve` does when this version cannot go on with an open session: refuse to serve, only say so, or not look. */
  PITSTOP_REPLAY_CHECK: z.enum(["refuse", "warn", "off"], "it is refuse, warn, off").default("refuse"),
  /** Worker Versioning by opt-in: the name of the deployment, and this build's id in it. */
  PITSTOP_DEPLOYMENT: DeploymentPart.optional(),
  PITSTOP_BUILD_ID: DeploymentPart.optional(),
  PITSTOP_LOG_LEVEL: z.enum(LOG_LEVELS, `it is ${LOG_LEVELS.join(", ")}`).default("info"),
});
export type Config = Omit<z.infer<typeof Settings>, "PITSTOP_DATA"> & { PITSTOP_DATA: string };

/** Reads `pitstop.yaml` (in the working folder, or where `PITSTOP_CONFIG` says) and the environment, once. */
export function loadConfig(env: NodeJS.ProcessEnv = process.env, cwd = process.cwd()): Config {
  const file = env.PITSTOP_CONFIG ?? join(cwd, "pitstop.yaml");
  const fromFile = existsSync(file) ? readYamlSettings(file) : {};
  if (env.PITSTOP_CONFIG && !existsSync(file)) {
    throw new PitstopError("invalid", `PITSTOP_CONFIG names ${file}, which does not exist; correct or unset it.`);
  }
  const known = Object.keys(Settings.shape);
  const given: Record<string, unknown> = { ...fromFile };
  for (const key of known) if (env[key] !== undefined && env[key] !== "") given[key] = env[key];
  const parsed = Settings.safeParse(given);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const key = String(issue?.path[0] ?? "");
    throw new PitstopError("invalid", `The setting ${key} is not usable: ${issue?.message}.`);
  }
  if (!parsed.data.PITSTOP_DEPLOYMENT !== !parsed.data.PITSTOP_BUILD_ID) {
    throw new PitstopError("invalid", "PITSTOP_DEPLOYMENT and PITSTOP_BUILD_ID belong together; set both, or neither.");
  }
  const data = parsed.data.PITSTOP_DATA;
  return { ...parsed.data, PITSTOP_DATA: isAbsolute(data) ? data : resolve(cwd, data) };
}

function readYamlSettings(file: string): Record<string, unknown> {
  let content: unknown;
  try {
    content = parseYaml(readFileSync(file, "utf8"), { logLevel: "error" }) ?? {};
  } catch (error) {
    throw new PitstopError("invalid", `${file} is not valid YAML: ${(error as Error).message.split("\n")[0]}`);
  }
  if (typeof content !== "object" || Array.isArray(content)) {
    throw new PitstopError("invalid", `${file} must be a mapping of settings, for example "listen: 127.0.0.1:8480".`);
  }
  const settings: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(content as Record<string, unknown>)) {
    const name = key === "database_url" ? "DATABASE_URL" : `PITSTOP_${key.toUpperCase()}`;
    if (!(name in Settings.shape)) {
      throw new PitstopError(
        "invalid",
        `${file} has the setting "${key}", which does not exist; docs/running.md lists them.`,
      );
    }
    // A reference is a mapping in the file, and one line of JSON in the environment.
    const reference = name === "PITSTOP_PAYLOAD_KEY";
    if (typeof value === "object" && value !== null && !reference) {
      throw new PitstopError("invalid", `${file} has more than one value for "${key}"; write one text or number.`);
    }
    settings[name] = typeof value === "object" && value !== null ? JSON.stringify(value) : String(value);
  }
  return settings;
}

/** The state folder's parts, made with mode 0700. */
export function dataFolder(config: Config, ...parts: string[]): string {
  const path = join(config.PITSTOP_DATA, ...parts);
  mkdirSync(path, { recursive: true, mode: 0o700 });
  return path;
}
