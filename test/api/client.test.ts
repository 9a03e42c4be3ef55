import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { PitstopClient, ServerUnreachable } from "../../src/api/client.js";

describe("a server that dies in the middle of an answer", () => {
  let server: Server;
  afterEach(() => server.close());

  /** Dies in the middle of the first `deaths` answers, each of them begun, and gives the whole of `answer` then. */
  async function dying(deaths: number, status: number, answer: unknown) {
    const heard: { method: string | undefined; key: string | string[] | undefined }[] = [];
    const text = JSON.stringify(answer);
    const die = (response: ServerResponse) =>
      response.write(text.slice(0, text.length / 2), () => setTimeout(() => response.socket?.destroy(), 20));
    server = createServer((request, response) => {
      heard.push({ method: request.method, key: request.headers["idempotency-key"] });
      response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
      if (heard.length <= deaths) die(response);
      else response.end(text);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    return { heard, client: new PitstopClient({ url: `http://127.0.0.1:${port}`, token: null }) };
  }
  const problem = {
    type: "about:blank",
    title: "Busy",
    status: 409,
    code: "busy",
    detail: "The target has a session.",
  };

  it("has not answered", async () => {
    const { client, heard } = await dying(9, 200, { items: [] });
    await expect(client.sessions()).rejects.toThrow(ServerUnreachable);
    await expect(client.log("s1", "look")).rejects.toThrow(ServerUnreachable);
    await expect(client.ready()).rejects.toThrow(ServerUnreachable);
    expect(heard.map(({ method }) => method)).toEqual(["GET", "GET", "GET"]);
  });

  it("has not answered where the answer was to be a problem", async () => {
    const { client } = await dying(9, 409, problem);
    await expect(client.sessions()).rejects.toThrow(ServerUnreachable);
    await expect(client.events({}, new AbortController().signal).next()).rejects.toThrow(ServerUnreachable);
  });

  it("is sent a POST again, once, with the same key", async () => {
    const { client, heard } = await dying(1, 200, { results: [] });
    expect(await client.applyYaml("kind: Target", "t.yaml")).toEqual({ results: [] });
    expect(heard).toHaveLength(2);
    expect(heard[0]?.key).toMatch(/^[0-9a-f-]{36}$/);
    expect(heard[1]?.key).toBe(heard[0]?.key);
  });
});
