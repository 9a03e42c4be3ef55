import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ensureTls, type SiteTls } from "../../src/boot/tls.js";
import { Downloader } from "../../src/lab/process/download.js";
import { AgentProcess } from "../support/agent.js";
import { TestGateway } from "../support/gateway.js";
import { BootServer } from "./boot-server.js";

let undo: (() => Promise<unknown>)[];
beforeEach(() => {
  undo = [];
});
afterEach(async () => {
  for (const step of undo.reverse()) await step();
});

const forever = new AbortController().signal;

test("a process machine downloads from 10.0.2.2 what this host serves on loopback", async () => {
  const site = await BootServer.start();
  const downloader = new Downloader(null);
  undo.push(
    () => downloader.close(),
    () => site.stop(),
  );
  const url = site.url.replace("127.0.0.1", "10.0.2.2");
  expect(url).not.toBe(site.url);
  const { content } = await downloader.get(`${url}/boot.ipxe`, forever);
  expect(content?.toString()).toContain("#!ipxe");
});

/** An HTTPS server on loopback whose certificate has these names alone. */
async function serveAs(names: string[]): Promise<{ url: string; tls: SiteTls }> {
  const folder = await mkdtemp(join(tmpdir(), "pitstop-tls-"));
  const tls = await ensureTls(folder, names, Date.now);
  const server = createServer({ key: tls.key, cert: tls.certificate }, (_request, response) => response.end("here"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  undo.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await rm(folder, { recursive: true });
  });
  return { url: `https://10.0.2.2:${(server.address() as AddressInfo).port}/`, tls };
}

test.for([
  ["has 10.0.2.2", ["10.0.2.2"], "here"],
  ["has only the loopback behind it", ["127.0.0.1"], null],
] as const)("over TLS the certificate is compared with 10.0.2.2: one that %s", async ([, names, body]) => {
  const { url, tls } = await serveAs([...names]);
  const downloader = new Downloader(tls.ca);
  undo.push(() => downloader.close());
  const got = downloader.get(url, forever).then(({ content }) => content?.toString());
  if (body === null) await expect(got).rejects.toThrow(/10\.0\.2\.2 is not in the cert's list/);
  else expect(await got).toBe(body);
});

test("the agent of a process machine calls a gateway at 10.0.2.2 on loopback, and without being told so it does not", async () => {
  const gateway = await TestGateway.start();
  undo.push(() => gateway.stop());
  const session = { PITSTOP_TLS_URL: `https://10.0.2.2:${gateway.port}`, PITSTOP_LEASE_SECONDS: 3 };
  const lost = new AgentProcess(gateway, { session }).start();
  undo.push(async () => lost.dispose());
  expect(await lost.untilPowered()).toEqual(["reboot"]);
  expect(gateway.hellos).toEqual([]);

  gateway.offer({ id: "t-1", script: "echo fine" });
  const told = new AgentProcess(gateway, { session, env: { PITSTOP_CONNECT_TO: "10.0.2.2::127.0.0.1:" } }).start();
  undo.push(async () => told.dispose());
  expect(await gateway.result("t-1")).toMatchObject({ status: "succeeded" });
});
