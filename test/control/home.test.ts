import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type RequestListener, type Server } from "node:http";
import { type AddressInfo, createServer as createTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { inTime } from "../../src/control/home/answer.js";
import { askHome, homeAsker, proveHome } from "../../src/control/home.js";
import type { HomeAnswer } from "../../src/domain/snapshot.js";
import { HomeCheck } from "../../src/domain/target.js";
import { startBmc } from "./help.js";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function page(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/health`;
}
const http = (url: string, more: object = {}) => HomeCheck.parse({ http: { url, ...more } });

describe("the http check", () => {
  it("yields ids and scalar facts of a JSON answer", async () => {
    const url = await page((_, response) =>
      response.end(
        JSON.stringify({ machineId: "m", bootId: "b", boots: 7, up: true, nested: {}, text: "t".repeat(999) }),
      ),
    );
    const answer = await askHome(http(url));
    expect(answer).toMatchObject({ answered: true, machineId: "m", bootId: "b", hostKey: null, reason: null });
    expect(answer.facts).toEqual({ boots: 7, up: true, text: "t".repeat(256) });
  });

  it("takes any page that contains the text, and no other", async () => {
    const url = await page((_, response) => response.end("all is ok"));
    expect(await askHome(http(url, { contains: "ok" }))).toMatchObject({ answered: true, bootId: null });
    expect(await askHome(http(url, { contains: "fine" }))).toMatchObject({ answered: false });
  });

  it("follows no redirect and takes no error page", async () => {
    const url = await page((_, response) => response.writeHead(302, { location: "http://127.0.0.1:1/" }).end("ok"));
    expect(await askHome(http(url))).toMatchObject({ answered: false, reason: "it answered with status 302" });
  });

  it("ends at its time limit though nobody but its own timer remembers it", async () => {
    setFlagsFromString("--expose-gc");
    const collect: () => void = runInNewContext("gc");
    let ended = 0;
    const caller = new AbortController();
    for (let i = 0; i < 5; i++) {
      void inTime({ signal: caller.signal, timeoutMs: 300 }, (signal) => once(signal, "abort")).then(() => ended++);
    }
    for (let looks = 0; looks < 100 && ended < 5; looks++) {
      collect();
      await new Promise((done) => setTimeout(done, 50));
    }
    expect(ended).toBe(5);
  });

  it("ends at its time and size limits", async () => {
    const slow = await page(() => undefined);
    expect((await askHome(http(slow), { timeoutMs: 100 })).answered).toBe(false);
    const large = await page((_, response) => response.end("x".repeat(100_000)));
    expect((await askHome(http(large))).answered).toBe(false);
  });

  it("pins a certificate", async () => {
    const bmc = await startBmc();
    const url = `${bmc.url}/redfish/v1/`;
    expect((await askHome(http(url, { tls: { fingerprint256: bmc.fingerprint } }))).answered).toBe(true);
    const seen = bmc.seen.length;
    expect((await askHome(http(url, { tls: { fingerprint256: Array(32).fill("00").join(":") } }))).answered).toBe(
      false,
    );
    expect(bmc.seen.length).toBe(seen);
  });
});

describe("the tcp check", () => {
  it("says whether the port accepts", async () => {
    const server = createTcp().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address() as AddressInfo;
    const check = HomeCheck.parse({ tcp: { host: "127.0.0.1", port } });
    expect(await askHome(check)).toMatchObject({ answered: true, machineId: null, bootId: null });
    await new Promise((resolve) => server.close(resolve));
    expect(await askHome(check)).toMatchObject({ answered: false });
  });
});

describe("the ssh check", () => {
  const BOOT = "0b0f2e6c-6f0e-4b0a-9d1b-3d9f0f6a1c11";
  const MACHINE = "0123456789abcdef0123456789abcdef";
  let folder: string;
  let hostKey: string;
  let programs: { ssh: string; sshKeyscan: string };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "pitstop-home-"));
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(folder, "key")]);
    const printed = execFileSync("ssh-keygen", ["-lf", join(folder, "key.pub")], { encoding: "utf8" });
    hostKey = printed.split(" ")[1] ?? "";
    const blob = (await readFile(join(folder, "key.pub"), "utf8")).split(" ").slice(0, 2).join(" ");
    // Stand-ins that print what the real programs print, and keep what they were given.
    programs = { ssh: join(folder, "ssh"), sshKeyscan: join(folder, "ssh-keyscan") };
    await writeFile(programs.sshKeyscan, `#!/bin/sh\necho "# banner"\necho "[h1]:2222 ${blob}"\n`);
    await writeFile(
      programs.ssh,
      `#!/bin/sh\nfor a in "$@"; do echo "$a"; case "$a" in UserKnownHostsFile=*) cat "\${a#*=}" > ${folder}/known;; esac; done > ${folder}/argv\n` +
        `printf '${BOOT}\\n${MACHINE}\\n'\n`,
    );
    await chmod(programs.ssh, 0o755);
    await chmod(programs.sshKeyscan, 0o755);
    return () => rm(folder, { recursive: true });
  });
  const check = (more: object = {}) => HomeCheck.parse({ ssh: { host: "h1", port: 2222, hostKey, ...more } });

  it("yields boot id, machine id and the host key that it verified", async () => {
    const answer = await askHome(check(), { programs });
    expect(answer).toMatchObject({ answered: true, bootId: BOOT, machineId: MACHINE, hostKey });
    const argv = (await readFile(join(folder, "argv"), "utf8")).split("\n");
    expect(argv).toContain("StrictHostKeyChecking=yes");
    expect(argv.slice(-4, -1)).toEqual(["--", "h1", "cat /proc/sys/kernel/random/boot_id /etc/machine-id"]);
    expect(await readFile(join(folder, "known"), "utf8")).toMatch(/^\[h1\]:2222 ssh-ed25519 /);
  });

  it("never speaks to a host with another key", async () => {
    const answer = await askHome(check({ hostKey: `SHA256:${"A".repeat(43)}` }), {
      programs: { ...programs, ssh: "/does/not/exist" },
    });
    expect(answer.answered).toBe(false);
    expect(answer.reason).toContain(hostKey);
  });

  it("says so when OpenSSH is not installed", async () => {
    const answer = await askHome(check(), { programs: { ssh: "/none", sshKeyscan: "/none" } });
    expect(answer.reason).toContain("install the OpenSSH client");
  });

  it("refuses a host that is an option", async () => {
    await expect(askHome(check({ host: "-oProxyCommand=x" }), { programs })).rejects.toThrow("no host name");
  });
});

describe("the proof", () => {
  const answer = (change: Partial<HomeAnswer> = {}): HomeAnswer => ({
    check: "http a",
    answered: true,
    machineId: "m",
    bootId: "b1",
    hostKey: null,
    facts: {},
    reason: null,
    ...change,
  });
  const port = answer({ check: "tcp", machineId: null, bootId: null });
  const silent = answer({ answered: false, machineId: null, bootId: null, reason: "refused" });

  it.each([
    [
      "a new boot id of the same machine after a power-off",
      [answer()],
      [answer({ bootId: "b2" })],
      true,
      true,
      "strong",
    ],
    ["the old boot id after a power-off", [answer()], [answer()], true, false, "none"],
    ["the same boot id where there was no power-off", [answer()], [answer()], false, true, "strong"],
    ["a new boot id where there was no power-off", [answer()], [answer({ bootId: "b2" })], false, false, "none"],
    ["another machine id", [answer()], [answer({ machineId: "x", bootId: "b2" })], true, false, "none"],
    ["no machine id any more", [answer()], [answer({ machineId: null, bootId: "b2" })], true, false, "none"],
    ["no boot id any more", [answer()], [answer({ bootId: null })], true, false, "none"],
    [
      "another host key",
      [answer({ hostKey: "SHA256:a" })],
      [answer({ hostKey: "SHA256:b", bootId: "b2" })],
      true,
      false,
      "none",
    ],
    ["a port that accepts", [port], [port], true, true, "weak"],
    ["a port beside a strong answer", [port, answer()], [port, answer({ bootId: "b2" })], true, true, "strong"],
    [
      "a strong answer and a port that is silent now",
      [port, answer()],
      [silentOf(port), answer({ bootId: "b2" })],
      true,
      false,
      "none",
    ],
    ["silence", [answer()], [silent], true, false, "none"],
    ["silence as before", [silent], [silent], true, false, "none"],
    ["an answer where there was silence before", [silent], [answer({ bootId: "b2" })], true, true, "weak"],
    [
      "a boot id without any identity",
      [answer({ machineId: null })],
      [answer({ machineId: null, bootId: "b2" })],
      true,
      true,
      "weak",
    ],
    ["no checks", [], [], true, false, "none"],
  ] as const)("by %s", (_what, before, now, rebooted, proved, strength) => {
    const proof = proveHome([...before], [...now], { rebooted });
    expect(proof).toMatchObject({ proved, strength });
    expect(proof.reason === null).toBe(strength === "strong");
  });

  function silentOf(one: HomeAnswer): HomeAnswer {
    return { ...one, answered: false, reason: "refused" };
  }
});

describe("the home checks of a site", () => {
  it("run at most 32 at once, whatever the number of targets", async () => {
    let running = 0;
    let most = 0;
    const ask = homeAsker({}, async () => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 2));
      running--;
      return { check: "tcp", answered: false, machineId: null, bootId: null, hostKey: null, facts: {}, reason: null };
    });
    const check = { tcp: { host: "127.0.0.1", port: 1 } } as HomeCheck;
    const answers = await Promise.all(Array.from({ length: 500 }, () => ask(check)));
    expect(answers).toHaveLength(500);
    expect(most).toBe(32);
  });
});
