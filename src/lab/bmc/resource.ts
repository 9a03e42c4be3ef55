import type { z } from "zod";
import type { LabMachine } from "../machine.js";
import type { FaultSet } from "./faults/index.js";
import type { Journal } from "./journal.js";
import type { MediaDrive } from "./media.js";
import { type ExtendedInfo, message, RedfishError, refuse } from "./messages.js";
import type { PowerUnit } from "./power.js";
import type { Sessions } from "./sessions.js";
import type { BmcStateFile } from "./state.js";

export type Json = Record<string, unknown>;

export interface Reply {
  status: number;
  headers?: Record<string, string>;
  body?: Json;
}

/** What a BMC is made of, as its resources see it. */
export interface BmcParts {
  name: string;
  machine: LabMachine;
  /** Of the Redfish service; another than the system's. */
  serviceUuid: string;
  userName: string;
  secureBoot: boolean;
  state: BmcStateFile;
  power: PowerUnit;
  media: MediaDrive;
  sessions: Sessions;
  journal: Journal;
  faults: FaultSet;
}

/** One URI of the service. What it cannot do is answered 405. */
export interface Resource {
  path: string;
  /** GET needs no login (DSP0266 section 13.2.4). */
  open?: true;
  /** POST needs no login: creating a session. */
  openPost?: true;
  read?(): Json | Promise<Json>;
  /** Instead of JSON, for `$metadata`. */
  xml?(): string;
  patch?: Patch;
  post?(body: unknown): Promise<Reply>;
  remove?(): void | Promise<void>;
}

export interface Patch {
  schema: z.ZodObject;
  apply(values: unknown): Promise<void>;
}

/** The properties that PATCH may change. `apply` gets those that were given, validated. */
export function patchOf<S extends z.ZodObject>(
  schema: S,
  apply: (values: Partial<z.output<S>>) => Promise<void>,
): Patch {
  return { schema, apply: (values) => apply(schema.partial().parse(values) as Partial<z.output<S>>) };
}

export const SYSTEM = "/redfish/v1/Systems/1";
export const CHASSIS = "/redfish/v1/Chassis/1";
export const MANAGER = "/redfish/v1/Managers/BMC";

export const link = (path: string): Json => ({ "@odata.id": path });
export const links = (paths: readonly string[]): Json[] => paths.map(link);
export const HEALTHY = { State: "Enabled", Health: "OK" } as const;

export function collection(
  path: string,
  type: string,
  name: string,
  members: () => string[] | Promise<string[]>,
): Resource & { read(): Promise<Json> } {
  return {
    path,
    read: async () => {
      const paths = await members();
      return {
        "@odata.id": path,
        "@odata.type": `#${type}.${type}`,
        Name: name,
        Members: links(paths),
        "Members@odata.count": paths.length,
      };
    },
  };
}

/**
 * PATCH as DSP0266 section 8.4.3 has it: properties that cannot be changed are told beside those that were; when none
 * can be, or a value is wrong, nothing is changed and the answer is 400.
 */
export async function patchResource(resource: Resource, patch: Patch, body: unknown): Promise<Json> {
  const given = objectOf(body);
  const names = Object.keys(given).filter((name) => !name.startsWith("@odata."));
  if (names.length === 0) throw refuse(400, "NoOperation");
  const current = (await resource.read?.()) ?? {};
  const writable = names.filter((name) => name in patch.schema.shape);
  const rejected = names.filter((name) => !writable.includes(name));
  const infos = rejected.map((name) => rejection([name], current));
  if (writable.length === 0) throw new RedfishError(400, infos);
  const values = Object.fromEntries(writable.map((name) => [name, given[name]]));
  const parsed = patch.schema.partial().safeParse(values);
  if (!parsed.success) throw new RedfishError(400, issuesToInfos(parsed.error, given, current));
  await patch.apply(values);
  const annotations = rejected.map((name, i) => [`${name}@Message.ExtendedInfo`, [infos[i]]]);
  return { ...((await resource.read?.()) ?? {}), ...Object.fromEntries(annotations) };
}

/** Validates the body of an action; `schema` is strict. */
export function actionParameters<S extends z.ZodObject>(action: string, schema: S, body: unknown): z.output<S> {
  const given = objectOf(body ?? {});
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  const infos = parsed.error.issues.flatMap((issue): ExtendedInfo[] => {
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => message("ActionParameterUnknown", [action, key]));
    }
    const name = String(issue.path[0] ?? "");
    return [
      name in given
        ? message("ActionParameterValueError", [name, action])
        : message("ActionParameterMissing", [action, name]),
    ];
  });
  throw new RedfishError(400, infos);
}

/** Validates the body of a POST that creates something. */
export function createBody<S extends z.ZodObject>(schema: S, body: unknown): z.output<S> {
  const given = objectOf(body);
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  throw new RedfishError(400, issuesToInfos(parsed.error, given, {}));
}

function objectOf(body: unknown): Json {
  if (typeof body !== "object" || body === null || Array.isArray(body)) throw refuse(400, "MalformedJSON");
  return body as Json;
}

function issuesToInfos(error: z.ZodError, given: Json, current: Json): ExtendedInfo[] {
  return error.issues.flatMap((issue): ExtendedInfo[] => {
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => rejection([...issue.path.map(String), key], current));
    }
    const path = issue.path.map(String);
    const name = path.join("/");
    const value = at(given, path);
    const pointer = `#/${name}`;
    if (value === undefined) return [message("PropertyMissing", [name], pointer)];
    const shown = typeof value === "string" ? value : JSON.stringify(value);
    if (issue.code === "invalid_type") return [message("PropertyValueTypeError", [shown, name], pointer)];
    if (issue.code === "invalid_value") return [message("PropertyValueNotInList", [shown, name], pointer)];
    return [message("PropertyValueError", [name], pointer)];
  });
}

function rejection(path: readonly string[], current: Json): ExtendedInfo {
  const key = at(current, path) === undefined ? "PropertyUnknown" : "PropertyNotWritable";
  return message(key, [path.join("/")], `#/${path.join("/")}`);
}

function at(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (inner, key) => (typeof inner === "object" && inner !== null ? (inner as Json)[key] : undefined),
    value,
  );
}

/** The parameters of an action, as a client may read them before it acts. */
export function actionInfo(
  path: string,
  name: string,
  parameters: { Name: string; Required: boolean; DataType: string; AllowableValues?: readonly string[] }[],
): Resource {
  return {
    path,
    read: () => ({
      "@odata.id": path,
      "@odata.type": "#ActionInfo.v1_4_0.ActionInfo",
      Id: path.slice(path.lastIndexOf("/") + 1),
      Name: name,
      Parameters: parameters,
    }),
  };
}
