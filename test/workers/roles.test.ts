import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { loadConfig } from "../../src/config.js";
import { takeLock } from "../../src/process-lock.js";
import { refuseUnfitRoles } from "../../workers/roles.js";
import { commandFor } from "../cli/command.js";

const folder = mkdtempSync(join(tmpdir(), "pitstop-roles-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const config = (roles: string, more: NodeJS.ProcessEnv = {}) =>
  loadConfig({ PITSTOP_DATA: join(folder, "data"), PITSTOP_ROLES: roles, ...more }, folder);

test("a process has every role unless it is told some, in any order", () => {
  expect(loadConfig({}, folder).PITSTOP_ROLES).toEqual(["api", "sessions", "site"]);
  expect(config("site, api ,sessions").PITSTOP_ROLES).toEqual(["api", "sessions", "site"]);
  expect(config("site").PITSTOP_ROLES).toEqual(["site"]);
});

test("a role that does not exist is refused with those that do", () => {
  expect(() => config("api,manager")).toThrow(/PITSTOP_ROLES is not usable: name roles of api, sessions, site/);
});

test("the command takes its roles as an argument, which wins over the setting", async () => {
  const command = commandFor("http://127.0.0.1:2");
  const said = await command(["serve", "--roles", "api,boss"], { env: { PITSTOP_ROLES: "site" } });
  expect(said).toMatchObject({ exit: 2, err: expect.stringMatching(/PITSTOP_ROLES is not usable: name roles of api/) });
});

test("a site by itself is refused without a Temporal address, and without the operations server's store", () => {
  expect(() => refuseUnfitRoles(config("site"), false)).toThrow(/no Temporal server is started.*set TEMPORAL_ADDRESS/);
  expect(() => refuseUnfitRoles(config("site"), true)).toThrow(/data\/objects is not there; .*the same PITSTOP_DATA/);
  mkdirSync(join(folder, "data", "objects"), { recursive: true });
  expect(() => refuseUnfitRoles(config("site"), true)).not.toThrow();
});

test("the role api by itself is refused where there is no database of the sessions", () => {
  expect(() => refuseUnfitRoles(config("api,site"), true)).toThrow(/data\/database is not there; .*set DATABASE_URL/);
  expect(() => refuseUnfitRoles(config("sessions"), false)).not.toThrow();
  expect(() => refuseUnfitRoles(config("api", { DATABASE_URL: "postgres://db/pitstop" }), true)).not.toThrow();
  mkdirSync(join(folder, "data", "database"), { recursive: true });
  expect(() => refuseUnfitRoles(config("api"), true)).not.toThrow();
});

test("a second site on one folder is refused in one sentence", () => {
  const path = join(folder, "lock");
  const release = takeLock(path, "The site's journal", "another PITSTOP_DATA");
  expect(() => takeLock(path, "The site's journal", "another PITSTOP_DATA")).toThrow(
    /^The site's journal is in use by process \d+ \(lock .*\); stop that one, or give this one another PITSTOP_DATA\.$/,
  );
  release();
});
