import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { resolveCredentials } from "../../src/control/credentials.js";
import type { CredentialRef } from "../../src/domain/basics.js";
import { failure } from "./help.js";

const SECRET = "s3cr:et-canary";
let base: string;
let root: string;

beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), "pitstop-cred-"));
  root = join(base, "credentials");
  await mkdir(join(root, "bmc"), { recursive: true });
  await writeFile(join(root, "bmc/r1"), `admin:${SECRET}\n`);
  await writeFile(join(root, "bad"), `${SECRET.replace(":", "")}\n`);
  await writeFile(join(base, "outside"), `admin:${SECRET}`);
  await symlink(join(base, "outside"), join(root, "link"));
});
afterAll(() => rm(base, { recursive: true }));

const resolve = (ref: CredentialRef, more: object = {}) =>
  resolveCredentials(ref, { root, env: { BMC: `admin:${SECRET}`, EMPTY: "" }, ...more });
const ACCOUNT = { user: "admin", password: SECRET };

describe("a credential reference", () => {
  it("is resolved from the environment, a file, or a program", async () => {
    expect(await resolve({ env: "BMC" })).toEqual(ACCOUNT);
    expect(await resolve({ file: "bmc/r1" })).toEqual(ACCOUNT);
    expect(await resolve({ exec: ["printf", "%s\\n", `admin:${SECRET}`] })).toEqual(ACCOUNT);
  });

  it.each([
    ["an unset variable", { env: "NOT_SET" }],
    ["an empty variable", { env: "EMPTY" }],
    ["a file that is not there", { file: "none" }],
    ["a folder", { file: "bmc" }],
    ["a path out of the folder", { file: "../outside" }],
    ["a link out of the folder", { file: "link" }],
    ["an absolute path", { file: "/etc/passwd" }],
    ["a file without a colon", { file: "bad" }],
    ["a program that fails and talks", { exec: ["sh", "-c", `echo admin:${SECRET}; echo ${SECRET} >&2; exit 3`] }],
    ["a program that is not there", { exec: ["/does/not/exist"] }],
    ["a program that prints too much", { exec: ["sh", "-c", "yes admin:x | head -c 100000"] }],
    ["several lines", { exec: ["printf", "admin:a\\nadmin:b\\n"] }],
  ] as [string, CredentialRef][])("that is %s is told with a remedy and never with the secret", async (_what, ref) => {
    const error = await failure(resolve(ref));
    expect(error.code).toBe("invalid");
    const told = `${error.message} ${JSON.stringify(error.facts)} ${String(error.cause)}`;
    expect(told).not.toContain("canary");
  });

  it("by a program that hangs ends at its time limit", async () => {
    const error = await failure(resolve({ exec: ["sleep", "30"] }, { timeoutMs: 200 }));
    expect(error.message).toContain("took longer");
    // A vault that is slow now may answer later.
    expect(error.code).toBe("unreachable");
  });
});
