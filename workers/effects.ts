import type { Capabilities, TargetControl } from "../src/control/control.js";
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
 * Called and awaited at each point. What it throws fails the call. Before: nothing was done. After: the effect has happened,
 * and its caller gets the error.
 */
export type EffectHook = (effect: Effect) => Promise<void> | void;

/** Under this key of the global object a test leaves its hook, before the server starts. */
const HOOK = Symbol.for("pitstop.effects");

/** By room, the methods that change nothing outside their process. Whatever is not named here is a side effect. */
export const READS = {
  activity: [],
  control: ["prove", "usage"],
  power: ["read", "compare", "pending", "progress"],
  nextBoot: ["read", "compare", "pending"],
  bootOrder: ["read", "compare", "pending", "asksNetworkFirst"],
  media: ["read", "compare", "pending"],
  journal: ["get", "all", "put"],
  link: ["isAlive", "isOver", "progress"],
  states: ["held", "of"],
  catalogue: ["get", "list", "openSnapshot", "openSnapshots", "getRecord", "listRecords", "ping", "close"],
  objects: ["get", "has"],
  agent: ["authenticate", "told", "answer", "progress"],
} as const satisfies Record<string, readonly string[]>;
export type Room = keyof typeof READS;

/**
 * The object itself. Where a test has left a hook: the object with that hook around each method that has a side effect. Only
 * the wiring hands these objects out, so that no call goes past the hook.
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

/** The same for a control, and for each capability that its proof gives. */
export function watchedControl(control: TargetControl, target: string): TargetControl {
  if (!installed()) return control;
  const watch = <T extends object>(room: Room, capability: T | null) =>
    capability === null ? null : watched(room, capability, target);
  const ofCapabilities = (can: Capabilities): Capabilities => ({
    ...can,
    power: watch("power", can.power),
    nextBoot: watch("nextBoot", can.nextBoot),
    bootOrder: watch("bootOrder", can.bootOrder),
    media: watch("media", can.media),
  });
  const proving: TargetControl = {
    prove: async (kept) => ofCapabilities(await control.prove(kept)),
    usage: () => control.usage(),
    close: () => control.close(),
  };
  return watched("control", proving, target);
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

/** What a write changes, where one path takes several kinds of write. */
function whatOf(body: string | null): string | null {
  const { ResetType: reset, Boot: boot } = body === null ? {} : JSON.parse(body);
  if (typeof reset === "string") return reset;
  return boot && "BootOrder" in boot ? "BootOrder" : null;
}

/** The target that the first argument names, in any of the forms that our methods take; null where it names none. */
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
