import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { pino } from "pino";
import { afterEach, describe, expect, it } from "vitest";
import { type Listener, type ListenerOptions, startListener } from "../../src/boot/listener.js";
import { makeCertificate } from "../support/tls.js";

const open: Listener[] = [];
const sockets: Socket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const listener of open.splice(0)) await listener.close();
});

/** A listener with one path for reading and one for writing, and what came to them. */
async function start(more: Partial<ListenerOptions> = {}): Promise<{ port: number; seen: string[] }> {
  const seen: string[] = [];
  const listener = await startListener({
    listen: { host: "127.0.0.1", port: 0 },
    log: pino({ level: "silent" }),
    routes: (app) => {
      app.get("/read", async () => {
        seen.push("read");
        return "read";
      });
      app.post("/write", async () => {
        seen.push("write");
        return "written";
      });
    },
    ...more,
  });
  open.push(listener);
  return { port: listener.port, seen };
}

function dial(port: number, localAddress = "127.0.0.1"): Socket {
  const socket = connect({ port, host: "127.0.0.1", localAddress });
  socket.on("error", () => {});
  sockets.push(socket);
  return socket;
}

/** All that is answered to these bytes until the server closes. */
async function said(port: number, bytes: string, localAddress?: string): Promise<string> {
  const socket = dial(port, localAddress);
  socket.write(bytes);
  return await text(socket).catch(() => "");
}

const statuses = (answer: string): number[] =>
  [...answer.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => Number(match[1]));
const ask = "GET /read HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
const json = "Host: x\r\nContent-Type: application/json\r\n";
const SMUGGLED = "GET /read HTTP/1.1\r\nHost: x\r\n\r\n";

describe("a listener for machines that nobody can trust", () => {
  it.each([
    [
      "both lengths",
      `POST /write HTTP/1.1\r\n${json}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
    ],
    ["two lengths", `POST /write HTTP/1.1\r\n${json}Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}${SMUGGLED}`],
    ["a signed length", `POST /write HTTP/1.1\r\n${json}Content-Length: +2\r\n\r\n{}${SMUGGLED}`],
    ["an unknown coding", `POST /write HTTP/1.1\r\n${json}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
    [
      "a blank before the colon",
      `POST /write HTTP/1.1\r\n${json}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
    ],
    [
      "a bad chunk",
      `POST /write HTTP/1.1\r\n${json}Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n${SMUGGLED}`,
    ],
    ["a NUL in a header", `POST /write HTTP/1.1\r\n${json}X: a\0b\r\nContent-Length: 2\r\n\r\n{}${SMUGGLED}`],
    ["a folded header", `POST /write HTTP/1.1\r\n${json}X: a\r\n\tTransfer-Encoding: chunked\0\r\n\r\n${SMUGGLED}`],
  ])("ends a connection whose message has %s, and does not find a second message in it", async (_what, bytes) => {
    const { port, seen } = await start({ bounds: { headersMs: 500, checkMs: 100 } });
    const answer = await said(port, bytes);
    expect(statuses(answer), answer).toEqual([400]);
    expect(seen).toEqual([]);
    expect(statuses(await said(port, ask))).toEqual([200]);
  });

  it("refuses headers and bodies larger than it reads", async () => {
    const { port, seen } = await start();
    const headers = await said(port, `GET /read HTTP/1.1\r\nHost: x\r\nX: ${"a".repeat(20_000)}\r\n\r\n`);
    expect(statuses(headers)).toEqual([431]);
    const announced = await said(
      port,
      `POST /write HTTP/1.1\r\n${json}Connection: close\r\nContent-Length: 9000000\r\n\r\n`,
    );
    expect(statuses(announced)).toEqual([413]);
    const chunk = `${(32_768).toString(16)}\r\n${"a".repeat(32_768)}\r\n`;
    const endless = `POST /write HTTP/1.1\r\n${json}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n${chunk.repeat(8)}`;
    expect(statuses(await said(port, endless))).toEqual([413]);
    expect(seen).toEqual([]);
  });

  it("lets go of who sends its headers byte by byte, and serves others meanwhile", async () => {
    const { port } = await start({ bounds: { headersMs: 700, checkMs: 100 } });
    const slow = Array.from({ length: 20 }, () => dial(port));
    const closed = slow.map((socket) => once(socket, "close"));
    const drip = setInterval(() => {
      for (const socket of slow) if (!socket.destroyed) socket.write("X");
    }, 50);
    for (const socket of slow) {
      socket.resume();
      socket.write("GET /read HTTP/1.1\r\nX-");
    }
    expect(statuses(await said(port, ask))).toEqual([200]);
    await Promise.all(closed);
    clearInterval(drip);
  });

  it("lets go of who connects to TLS and does not speak it", async () => {
    const { keyPem, certPem } = await makeCertificate();
    const { port } = await start({ tls: { key: keyPem, certificate: certPem }, bounds: { handshakeMs: 300 } });
    const silent = dial(port);
    silent.resume();
    const clear = dial(port);
    clear.resume();
    clear.write(ask);
    await Promise.all([once(silent, "close"), once(clear, "close")]);
  });

  it("gives one address only its share of the connections, and takes it back when they end", async () => {
    const { port } = await start({ bounds: { perAddress: 4 } });
    const held = Array.from({ length: 4 }, () => dial(port));
    await Promise.all(held.map((socket) => once(socket, "connect")));
    expect(await said(port, ask)).toBe("");
    expect(statuses(await said(port, ask, "127.0.0.2"))).toEqual([200]);
    const gone = held.map((socket) => once(socket, "close"));
    for (const socket of held) socket.destroy();
    await Promise.all(gone);
    await expect.poll(async () => statuses(await said(port, ask)), { timeout: 10_000 }).toEqual([200]);
  });

  it("has no more connections than it was told, whoever makes them", async () => {
    const { port } = await start({ bounds: { connections: 3 } });
    const held = ["127.0.0.1", "127.0.0.2", "127.0.0.3"].map((address) => dial(port, address));
    await Promise.all(held.map((socket) => once(socket, "connect")));
    expect(await said(port, ask, "127.0.0.4")).toBe("");
  });
});
