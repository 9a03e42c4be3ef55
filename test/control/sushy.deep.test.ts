import { X509Certificate } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { compareBootStates, powerOf, restoreBootState } from "../../src/control/boot-state.js";
import { ensureOff, ensureOn } from "../../src/control/ensure.js";
import { armedOn } from "../../src/control/transitions.js";
import type { BootState } from "../../src/domain/snapshot.js";
import { freePort } from "../support/free-port.js";
import { pythonPrograms } from "../support/python.js";
import { certificate } from "./fake-bmc.js";
import { controlOf, failure, type Hands, targetOf } from "./help.js";

/**
 * sushy-emulator is another project's Redfish service: HTTP Basic alone, and an override that always reads `Continuous`. Its
 * simulated machines take up to eleven seconds to change their power.
 */
const PACKAGE = "sushy-tools==2.2.0";
const UUID = "3c2b1a09-1122-4334-8556-77889900aabb";
const MAC = "52:54:00:7a:7b:7c";
const PASSWORD = "secret-of-the-emulator";
const HASH = "import bcrypt, sys; print(bcrypt.hashpw(sys.stdin.buffer.read(), bcrypt.gensalt(rounds=4)).decode())";
const START_MS = 60_000;
const WHY = { why: "the walk" };

let dir: string;
let url: string;
let fingerprint256: string;
let stop: () => Promise<void> = async () => undefined;
let images: Server;
let iso: string;

beforeAll(async () => {
  const programs = await pythonPrograms("sushy-emulator", [PACKAGE]);
  dir = await mkdtemp(join(tmpdir(), "pitstop-sushy-"));
  const { cert, key } = await certificate();
  fingerprint256 = new X509Certificate(cert).fingerprint256;
  const { stdout: hash } = await execa(join(programs, "python3"), ["-c", HASH], { input: PASSWORD });
  const port = await freePort();
  const settings = {
    SUSHY_EMULATOR_FAKE_SYSTEMS: [
      { uuid: UUID, name: "walked", power_state: "On", nics: [{ mac: MAC, ip: "192.0.2.7" }] },
    ],
    SUSHY_EMULATOR_AUTH_FILE: join(dir, "users"),
    SUSHY_EMULATOR_SSL_CERT: join(dir, "cert.pem"),
    SUSHY_EMULATOR_SSL_KEY: join(dir, "key.pem"),
    SUSHY_EMULATOR_STATE_DIR: dir,
    SUSHY_EMULATOR_LISTEN_IP: "127.0.0.1",
    SUSHY_EMULATOR_LISTEN_PORT: port,
  };
  await writeFile(join(dir, "users"), `admin:${hash}\n`);
  await writeFile(join(dir, "cert.pem"), cert);
  await writeFile(join(dir, "key.pem"), key);
  // Each value is written the same in JSON and in Python.
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${JSON.stringify(value)}`);
  await writeFile(join(dir, "emulator.conf"), `${lines.join("\n")}\n`);
  const emulator = execa(join(programs, "sushy-emulator"), ["--fake", "--config", join(dir, "emulator.conf")], {
    reject: false,
    all: true,
  });
  stop = async () => {
    emulator.kill();
    await emulator;
  };
  url = `https://127.0.0.1:${port}`;
  const hands = await open();
  await vi.waitFor(() => hands.identify(), { timeout: START_MS, interval: 500 });
  images = createServer((_request, response) => response.end(Buffer.alloc(4_096, "medium")));
  await new Promise<void>((resolve) => images.listen(0, "127.0.0.1", resolve));
  iso = `http://127.0.0.1:${(images.address() as AddressInfo).port}/image.iso`;
});

afterAll(async () => {
  await stop();
  images?.close();
  await rm(dir, { recursive: true, force: true });
});

async function open(allow: string[] = [], password = PASSWORD): Promise<Hands> {
  const target = targetOf(
    url,
    { fingerprint256 },
    {
      identity: { uuid: UUID, macs: [MAC] },
      boot: { firmware: "uefi", via: ["pxe"], allow },
    },
  );
  return await controlOf(target, { credentials: async () => ({ user: "admin", password }) });
}

async function expectAsBefore(hands: Hands, before: BootState): Promise<void> {
  const { readAt: _before, ...was } = before;
  const { readAt: _after, ...is } = await hands.readState();
  expect(is).toEqual(was);
  expect(compareBootStates(await hands.can(), before, await hands.readState())).toEqual({ differences: [], added: [] });
}

test("is proved by its UUID and read, over HTTP Basic", async () => {
  const hands = await open();
  expect(await hands.identify()).toMatchObject({ systemUuid: UUID, manufacturer: "Sushy Emulator" });
  expect(await hands.readState()).toMatchObject({
    power: "On",
    override: { enabled: "Continuous", target: "Hdd", mode: "UEFI" },
    bootOrder: { absent: true },
    secureBoot: false,
  });
  const wrong = await failure((await open([], "another")).identify());
  expect(wrong.code).toBe("unauthorized");
});

test("goes off and on", async () => {
  const hands = await open();
  const before = await hands.readState();
  const power = powerOf(await hands.can());
  await ensureOff(power, { mode: "graceful", gracefulMs: 30_000, then: "abort" }, WHY);
  expect(await hands.power()).toBe("Off");
  await ensureOn(power, WHY);
  await expectAsBefore(hands, before);
});

test.each(["pxe", "virtual-media"] as const)("is not armed by %s without continuous-override", async (via) => {
  const hands = await open();
  const before = await hands.readState();
  const error = await failure(hands.arm({ via }));
  expect(error.code).toBe("refused");
  expect(error.message).toMatch(
    /^r1-n07's BMC turns a one-time boot override into a lasting one; allow that with continuous-override in boot\.allow, .*\.$/,
  );
  await expectAsBefore(hands, before);
});

test.each(["pxe", "virtual-media"] as const)("is armed by %s with continuous-override, and restored", async (via) => {
  const hands = await open(["continuous-override"]);
  const can = await hands.can();
  const before = await hands.readState();
  const arm = async () => {
    if (via === "virtual-media") await hands.insertMedia(iso);
    return await hands.armed({ via });
  };
  const { override, notes } = await arm();
  expect(override).toMatchObject({ enabled: "Continuous", target: via === "pxe" ? "Pxe" : "Cd" });
  expect(notes).toEqual([expect.stringContaining("the session disarms it on its way home")]);
  const power = powerOf(can);
  await ensureOff(power, { mode: "force" }, WHY);
  await armedOn(can, arm, WHY);
  await ensureOff(power, { mode: "force" }, WHY);
  expect(await restoreBootState(can, before, false)).toEqual([]);
  await ensureOn(power, WHY);
  await expectAsBefore(hands, before);
});
