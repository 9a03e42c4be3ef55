import { tmpdir } from "node:os";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Catalogue } from "../../src/catalogue/catalogue.js";
import type { Database } from "../../src/catalogue/database.js";
import { migrate } from "../../src/catalogue/migrations.js";
import { openPostgres } from "../../src/catalogue/postgres.js";
import { catalogueOver, openCatalogue } from "../../src/catalogue/sql-catalogue.js";
import { testDatabase } from "../support/database.js";
import { postgresBin, startPostgres } from "./real-postgres.js";
import { action, image, record, snapshot, target } from "./samples.js";

const bin = postgresBin();

describe.each(["embedded server", "server of DATABASE_URL"])("the catalogue on the %s", (kind) => {
  const absent = kind !== "embedded server" && bin === null;
  describe.skipIf(absent)(absent ? "SKIPPED: no PostgreSQL below /usr/lib/postgresql" : "present", () => {
    let database: Database;
    let catalogue: Catalogue;
    let stop = async () => {};

    beforeAll(async () => {
      if (kind === "embedded server" || bin === null) {
        database = openPostgres(await testDatabase());
      } else {
        const server = await startPostgres(bin);
        stop = server.stop;
        database = openPostgres(server.url);
      }
      catalogue = await catalogueOver(database);
    });
    afterAll(async () => {
      await catalogue?.close();
      await stop();
    });
    beforeEach(async () => {
      for (const table of ["documents", "identities", "snapshots", "sessions", "answers"]) {
        await database.query(`delete from ${table}`);
      }
    });

    it("says whether a document was created, changed or was there already, and gives it back whole", async () => {
      const one = target("a", 1);
      expect(await catalogue.apply(one)).toBe("created");
      expect(await catalogue.apply(one)).toBe("unchanged");
      expect(await catalogue.apply({ ...one, labels: { rack: "r2" } })).toBe("changed");
      expect(await catalogue.get("Target", "a")).toEqual({ ...one, labels: { rack: "r2" } });
      expect(await catalogue.get("Image", "a")).toBeNull();
    });

    it("lists by name those whose labels all match", async () => {
      await catalogue.apply(target("c", 3, { labels: { rack: "r1", role: "db" } }));
      await catalogue.apply(target("a", 1, { labels: { rack: "r1" } }));
      await catalogue.apply(target("b", 2, { labels: { rack: "r2", role: "db" } }));
      const names = async (selector?: Record<string, string>) =>
        (await catalogue.list("Target", selector)).map((t) => t.name);
      expect(await names()).toEqual(["a", "b", "c"]);
      expect(await names({ rack: "r1" })).toEqual(["a", "c"]);
      expect(await names({ rack: "r1", role: "db" })).toEqual(["c"]);
    });

    it("refuses two names for one machine by UUID, MAC and BMC with system, naming the other", async () => {
      await catalogue.apply(target("a", 1));
      const a = target("a", 1);
      await expect(catalogue.apply(target("b", 2, { identity: a.identity }))).rejects.toMatchObject({
        code: "conflict",
        message:
          "Target b has the MAC address 52:54:00:12:34:01, which is target a's; one machine has one name, so correct this one or delete a.",
        facts: { other: "a" },
      });
      await expect(
        catalogue.apply(target("b", 2, { identity: { uuid: a.identity.uuid, macs: [] } })),
      ).rejects.toMatchObject({ code: "conflict", message: expect.stringContaining(`the UUID ${a.identity.uuid}`) });
      await expect(catalogue.apply(target("b", 2, { control: a.control }))).rejects.toMatchObject({
        message: expect.stringContaining("the system 1 of the BMC bmc-1, which is target a's"),
      });
      const onlySystem = [{ redfish: { url: "http://BMC-1/", credentials: { env: "BMC" } } }];
      await expect(catalogue.apply(target("b", 2, { control: onlySystem }))).rejects.toMatchObject({
        code: "conflict",
      });
      const sled2 = [{ redfish: { url: "https://bmc-1", system: "2", credentials: { env: "BMC" } } }];
      expect(await catalogue.apply(target("b", 2, { control: sled2 }))).toBe("created");
    });

    it("refuses a system on a BMC whose only system is another target", async () => {
      await catalogue.apply(
        target("a", 1, { control: [{ redfish: { url: "https://x", credentials: { env: "B" } } }] }),
      );
      const named = [{ redfish: { url: "https://x", system: "9", credentials: { env: "B" } } }];
      await expect(catalogue.apply(target("b", 2, { control: named }))).rejects.toMatchObject({
        message: expect.stringContaining("the only system of the BMC x"),
      });
    });

    it("frees an identity when its target changes or goes", async () => {
      await catalogue.apply(target("a", 1));
      await catalogue.apply(target("a", 2));
      expect(await catalogue.apply(target("b", 1))).toBe("created");
      await catalogue.delete("Target", "a");
      expect(await catalogue.apply(target("c", 2))).toBe("created");
    });

    it("lets exactly one of many at once have the machine", async () => {
      const names = Array.from({ length: 12 }, (_, i) => `n${i}`);
      const results = await Promise.allSettled(names.map((name) => catalogue.apply(target(name, 7))));
      expect(results.filter((r) => r.status === "fulfilled")).toHaveLength(1);
      expect(await catalogue.list("Target")).toHaveLength(1);
    });

    it("refuses to delete what is used, and what is not there", async () => {
      await catalogue.apply(image("base"));
      await catalogue.apply(action("look", "base"));
      await expect(catalogue.delete("Image", "base")).rejects.toMatchObject({
        code: "conflict",
        message: "Image base is used by action look; change or delete the action first.",
      });
      await catalogue.delete("Action", "look");
      await catalogue.delete("Image", "base");
      await catalogue.apply(target("a", 1));
      await catalogue.keepSnapshot(snapshot("a", "s1"));
      await expect(catalogue.delete("Target", "a")).rejects.toMatchObject({ code: "busy" });
      await catalogue.closeSnapshot("a", "s1");
      await catalogue.delete("Target", "a");
      await expect(catalogue.delete("Target", "a")).rejects.toMatchObject({ code: "notFound" });
    });

    it("refuses a NUL character, which the database could not look into", async () => {
      const nul = String.fromCharCode(0);
      await expect(catalogue.apply({ ...action("x"), description: `a${nul}b` })).rejects.toMatchObject({
        code: "invalid",
      });
      expect(await catalogue.apply({ ...action("x"), description: "a \\u0000 in letters" })).toBe("created");
    });

    it("never replaces an open snapshot, even among many at once", async () => {
      const first = await catalogue.keepSnapshot(snapshot("a", "s1"));
      expect(first.session).toBe("s1");
      const many = await Promise.all(
        Array.from({ length: 10 }, (_, i) => catalogue.keepSnapshot(snapshot("a", `t${i}`))),
      );
      expect(many.map((s) => s.session)).toEqual(Array.from({ length: 10 }, () => "s1"));
      expect(await catalogue.openSnapshots()).toEqual([snapshot("a", "s1")]);
      await catalogue.closeSnapshot("a", "t1");
      expect(await catalogue.openSnapshots()).toHaveLength(1);
      await catalogue.closeSnapshot("a", "s1");
      await catalogue.closeSnapshot("a", "s1");
      expect(await catalogue.openSnapshot("a")).toBeNull();
      expect((await catalogue.keepSnapshot(snapshot("a", "s2"))).session).toBe("s2");
    });

    it("keeps records by session, newest first, and findings that no text column would take", async () => {
      const odd = { serial: `x${String.fromCharCode(0)}${String.fromCharCode(0xd800)}y` };
      await catalogue.putRecord(record("s1", "a", { findings: { look: odd } }));
      await catalogue.putRecord(record("s2", "b", { startedAt: "2026-01-02T00:00:00.000Z", campaign: "c1" }));
      expect((await catalogue.getRecord("s1"))?.findings).toEqual({ look: odd });
      expect((await catalogue.listRecords({})).map((r) => r.session)).toEqual(["s2", "s1"]);
      expect((await catalogue.listRecords({ limit: 1 })).map((r) => r.session)).toEqual(["s2"]);
      expect((await catalogue.listRecords({ target: "a" })).map((r) => r.session)).toEqual(["s1"]);
      expect((await catalogue.listRecords({ campaign: "c1" })).map((r) => r.session)).toEqual(["s2"]);
    });

    it("does not open an ended record again by a late write", async () => {
      const ended = { endedAt: "2026-01-01T01:00:00.000Z", ending: "restored" as const, phase: "restored" as const };
      await catalogue.putRecord(record("s1", "a"));
      expect(await catalogue.listRecords({ open: true })).toHaveLength(1);
      await catalogue.putRecord(record("s1", "a", ended));
      await catalogue.putRecord(record("s1", "a"));
      expect(await catalogue.listRecords({ open: true })).toHaveLength(0);
      expect((await catalogue.listRecords({ open: false }))[0]?.ending).toBe("restored");
    });

    it("answers a repeated key once", async () => {
      let runs = 0;
      const answer = async () => ({ n: ++runs });
      expect(await catalogue.once("k", "f", answer)).toEqual({ answer: { n: 1 }, replayed: false });
      expect(await catalogue.once("k", "f", answer)).toEqual({ answer: { n: 1 }, replayed: true });
      await expect(catalogue.once("k", "other", answer)).rejects.toMatchObject({ code: "conflict" });
      expect(runs).toBe(1);
    });

    it("does not remember an answer that failed, refuses a second while the first runs, and takes over an abandoned one", async () => {
      await expect(catalogue.once("k", "f", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
      let finish: (value: string) => void = () => {};
      let first: ReturnType<Catalogue["once"]> | null = null;
      await new Promise<void>((runs) => {
        first = catalogue.once("k", "f", () => {
          runs();
          return new Promise((resolve) => (finish = resolve));
        });
      });
      await expect(catalogue.once("k", "f", async () => "second")).rejects.toThrow("under way");
      finish("first");
      expect(await first).toMatchObject({ answer: "first" });
      await database.query(
        "insert into answers (key, fingerprint, owner, created_at) values ('dead', 'f', 'gone', now() - interval '2 minutes')",
      );
      expect(await catalogue.once("dead", "f", async () => "again")).toEqual({ answer: "again", replayed: false });
    });

    it("migrates once, and refuses a newer schema, and one of before the first release", async () => {
      await migrate(database);
      await database.query("insert into pitstop_schema (version) values (99)");
      await expect(migrate(database)).rejects.toMatchObject({
        code: "refused",
        message: expect.stringContaining("written by a newer Pitstop (schema 99"),
      });
      await database.query("delete from pitstop_schema where version = 99");
      await database.query("update pitstop_schema set version = 1");
      await expect(migrate(database)).rejects.toMatchObject({
        code: "refused",
        message: expect.stringContaining("before the first release (schema 1); end its sessions with that one"),
      });
      await database.query("update pitstop_schema set version = 2");
      await migrate(database);
      await catalogue.ping();
    });
  });
});

describe("the catalogue", () => {
  it("says in one sentence that the database server is away, without its password", async () => {
    await expect(
      openCatalogue({ data: tmpdir(), databaseUrl: "postgres://u:hunter2@127.0.0.1:9/db" }),
    ).rejects.toMatchObject({
      code: "unreachable",
      message:
        "The database of DATABASE_URL does not answer (connect ECONNREFUSED 127.0.0.1:9); see that PostgreSQL runs and can be reached.",
    });
  });
});
