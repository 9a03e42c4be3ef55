import { createHash } from "node:crypto";
import type { Catalogue } from "../../../src/catalogue/catalogue.js";
import type { SessionRecord } from "../../../src/domain/record.js";
import type { BootSnapshot } from "../../../src/domain/snapshot.js";
import type { ObjectStore } from "../../../src/stores/store.js";
import { outside } from "./clock.js";
import type { World } from "./world.js";

const copy = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

/** The catalogue in memory: what was acknowledged is there for good, and sometimes it is away. */
export class SimulatedCatalogue {
  readonly documents = new Map<string, object>();
  readonly snapshots = new Map<string, BootSnapshot>();
  readonly records = new Map<string, SessionRecord>();

  constructor(private readonly world: World) {}

  asCatalogue(): Catalogue {
    const parts: Partial<Catalogue> = {
      get: ((kind: string, name: string) => this.ask(() => this.documents.get(`${kind}/${name}`) ?? null)) as never,
      openSnapshot: (target) => this.ask(() => copy(this.snapshots.get(target) ?? null)),
      openSnapshots: () => this.ask(() => copy([...this.snapshots.values()])),
      keepSnapshot: (snapshot) =>
        this.ask(() => {
          const kept = this.snapshots.get(snapshot.target) ?? copy(snapshot);
          this.snapshots.set(snapshot.target, kept);
          return copy(kept);
        }),
      closeSnapshot: (target, session) =>
        this.ask(() => {
          if (this.snapshots.get(target)?.session === session) this.snapshots.delete(target);
        }),
      getRecord: (session) => this.ask(() => copy(this.records.get(session) ?? null)),
      listRecords: ({ target, open }) =>
        this.ask(() => {
          const all = [...this.records.values()].reverse();
          const wanted = all.filter((one) => (!target || one.target === target) && (!open || one.endedAt === null));
          return copy(wanted);
        }),
      putRecord: (record) =>
        this.ask(() => {
          // As the table does: a late write does not open the record of a session that has ended.
          if (record.endedAt === null && this.records.get(record.session)?.endedAt) return;
          this.records.set(record.session, copy(record));
          this.world.promises.recorded(record);
        }),
    };
    return parts as Catalogue;
  }

  private ask<T>(act: () => T): Promise<T> {
    return outside(this.world.random.between(1, 15), () => {
      if (this.world.adversary.catalogueAway()) throw new Error("the catalogue is away");
      return act();
    });
  }
}

/** Scripts, findings and logs: a folder, whose disk may be full, and for which no file handle may be left. */
export function simulatedObjects(world: World): ObjectStore {
  const objects = new Map<string, Uint8Array>();
  const work = <T>(operation: "put" | "read", act: () => T): Promise<T> =>
    outside(1, () => {
      const code = world.later.storeFault(operation);
      if (code) throw Object.assign(new Error(`${code}: the store failed at ${operation}`), { code });
      return act();
    });
  return {
    put: (bytes) =>
      work("put", () => {
        const digest = createHash("sha256").update(bytes).digest("hex");
        objects.set(digest, bytes);
        world.promises.kept(bytes);
        return digest;
      }),
    get: (digest) => work("read", () => objects.get(digest) ?? Buffer.from("null")),
    has: (digest) => work("read", () => objects.has(digest)),
  };
}
