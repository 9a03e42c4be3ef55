import { chmodSync, chownSync, lstatSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { lookAtDataFolder, secureDataFolder } from "../src/data-folder.js";

let parent: string;
let data: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "pitstop-folder-"));
  data = join(parent, "data");
});
afterEach(() => rmSync(parent, { recursive: true, force: true }));

const mode = (...parts: string[]) => (lstatSync(join(data, ...parts)).mode & 0o777).toString(8);

it("is made for its user alone", async () => {
  expect(await secureDataFolder(data)).toEqual([]);
  expect(mode()).toBe("700");
});

it("takes the rights of group and others away, at any depth, and says from what", async () => {
  mkdirSync(join(data, "site", "keys"), { recursive: true });
  for (const [path, rights] of [
    ["", 0o755],
    ["site", 0o777],
    ["site/keys", 0o700],
  ] as const) {
    chmodSync(join(data, path), rights);
  }
  writeFileSync(join(data, "site/keys/key"), "secret");
  chmodSync(join(data, "site/keys/key"), 0o644);
  writeFileSync(join(data, "script"), "#!/bin/sh\n");
  chmodSync(join(data, "script"), 0o755);
  expect((await secureDataFolder(data)).sort()).toEqual([
    data,
    join(data, "script"),
    join(data, "site"),
    join(data, "site/keys/key"),
  ]);
  expect([mode(), mode("site"), mode("site/keys/key"), mode("script")]).toEqual(["700", "700", "600", "700"]);
  expect(await secureDataFolder(data)).toEqual([]);
});

it("follows no symbolic link out of the folder", async () => {
  const outside = join(parent, "outside");
  writeFileSync(outside, "");
  chmodSync(outside, 0o644);
  mkdirSync(data, { mode: 0o700 });
  symlinkSync(outside, join(data, "link"));
  expect(await secureDataFolder(data)).toEqual([]);
  expect(lstatSync(outside).mode & 0o777).toBe(0o644);
});

it.runIf(process.getuid?.() === 0)("refuses what another user owns, and changes nothing", async () => {
  mkdirSync(join(data, "site"), { recursive: true });
  chmodSync(data, 0o755);
  writeFileSync(join(data, "site/key"), "");
  chownSync(join(data, "site/key"), 4_321, 4_321);
  await expect(secureDataFolder(data)).rejects.toMatchObject({
    code: "refused",
    message: `${join(data, "site/key")} in PITSTOP_DATA belongs to the user 4321, and this process is the user 0; start Pitstop as the owner, or run "chown -R 0 ${data}".`,
  });
  expect(mode()).toBe("755");
  expect((await lookAtDataFolder(data)).foreign).toEqual([{ path: join(data, "site/key"), uid: 4_321 }]);
});
