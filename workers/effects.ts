import type { BmcPool } from "../src/control/redfish/transport.js";

/** A side effect of a session, right before it or right after it. */
export interface Effect {
  /** Room and method, for example `journal.save`; of a BMC's request `bmc.POST ComputerSystem.Reset`. */
  point: string;
  when: "before" | "after";
  /** Null where the call does not say which target it is for. A campaign's is the first that it names. */
  target: string | null;
  /** What the path of a write to a BMC does not say: the kind of a reset, or that the boot order is written. */
  what?: string;
}

/**
 * Called and awaited at each point. What it throws fails the call: before, nothing was done; after, it was done, but
 * its caller is told that it failed.
 */
export type EffectHook = (effect: Effect) => Promise<void> | void;

/** Under this key of the global object a test leaves its hook, before the server starts. */
const HOOK = Symbol.for("pitstop.effects");

/** By room, the methods that change nothing outside their process. Whatever is not named here is a side effect. */
export const READS = {
  activity: [],
  control: ["identify", "readState", "power", "bootProgress", "usage"],
  journal: ["get", "all", "put"],
  link: ["isAlive", "isOver", "progress"],
  fates: ["held", "of"],
  catalogue: ["get", "list", "openSnapshot", "openSnapshots", "getRecord", "listRecords", "ping", "close"],
  objects: ["get", "has"],
  agent: ["authenticate", "told", "answer", "progress"],
} as const satisfies Record<string, readonly string[]>;
export type Room = keyof typeof READS;

/**
 * The object itself; where a test has left a hook, the object with that hook around each method that has a side effect.
 * The wiring is the one place that hands these objects out, so nothing can pass by it.
 */
export function watched<T extends object>(room: Room, object: T, target: string | null = null): T {
  const hook = installed();
  if (!hook) return object;
  const reads: readonly string[] = READS[room];
  return new Proxy(object, {
    get(of, name) {
      const value: unknown = Reflect.get(of, name, of);
      if (typeof value !== "function" || typeof name !== "string") return value;
      if (reads.includes(name)) return value.bind(of);
      return (...args: unknown[]) =>
        around(hook, `${room}.${name}`, target ?? targetOf(args), () => value.apply(of, args));
    },
  });
}

/** The same for the connections to a BMC: each request that is no reading. */
export function watchedPool(pool: BmcPool, target: string): BmcPool {
  const hook = installed();
  if (!hook) return pool;
  return {
    destroy: () => pool.destroy(),
    request: (options) => {
      if (options.method === "GET") return pool.request(options);
      const point = `bmc.${options.method} ${nounOf(options.path)}`;
      return around(hook, point, target, () => pool.request(options), whatOf(options.body));
    },
  };
}

const installed = (): EffectHook | null =>
  ((globalThis as Record<symbol, unknown>)[HOOK] as EffectHook | undefined) ?? null;

async function around<T>(
  hook: EffectHook,
  point: string,
  target: string | null,
  act: () => T,
  what: string | null = null,
): Promise<Awaited<T>> {
  const effect = { point, target, ...(what === null ? {} : { what }) };
  await hook({ ...effect, when: "before" });
  const result = await act();
  await hook({ ...effect, when: "after" });
  return result;
}

/** A Redfish path without its identifiers: the action, or the collection that the resource is in. */
function nounOf(path: string): string {
  const segments = (path.split("?")[0] ?? "").split("/").filter((part) => /^[A-Z][A-Za-z.]+$/.test(part));
  return segments.at(-1) ?? "";
}

/** What a write is about, where one path takes several. */
function whatOf(body: string | null): string | null {
  const { ResetType: reset, Boot: boot } = body === null ? {} : JSON.parse(body);
  if (typeof reset === "string") return reset;
  return boot && "BootOrder" in boot ? "BootOrder" : null;
}

/** The target that the first argument names, in any of the forms in which our methods are told of one. */
function targetOf([first]: unknown[]): string | null {
  if (typeof first === "string") return first;
  const at = (value: unknown, ...path: string[]): unknown =>
    path.reduce<unknown>((of, key) => (of as Record<string, unknown> | null | undefined)?.[key], value);
  const found = [
    at(first, "target"),
    at(first, "plan", "target", "name"),
    at(first, "entry", "target"),
    at(first, "record", "target"),
    at(first, "snapshot", "target"),
    at(first, "request", "target"),
    at(first, "request", "targets", "0"),
  ];
  return found.find((one): one is string => typeof one === "string") ?? null;
}
