import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeAtomically } from "../../src/stores/atomic.js";
import { fetchVerified } from "../../src/stores/fetch-verified.js";
import { openFileStore } from "../../src/stores/file-store.js";

let folder: string;
let root: string;
const servers: Server[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pitstop-stores-"));
  root = join(folder, "images");
  mkdirSync(root);
});
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
  rmSync(folder, { recursive: true, force: true });
});

const sha256 = (bytes: Uint8Array | string): string => createHash("sha256").update(bytes).digest("hex");
const fetchTo = (url: string, digest: string, more: object = {}) =>
  fetchVerified(url, digest, join(folder, "fetched"), { root, signal: new AbortController().signal, ...more });

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe("the object store", () => {
  it("keeps bytes once under their digest and gives them back", async () => {
    const store = openFileStore(join(folder, "objects"));
    const digest = await store.put(Buffer.from("abc"));
    expect(digest).toBe(sha256("abc"));
    expect(await store.put(Buffer.from("abc"))).toBe(digest);
    expect(readdirSync(join(folder, "objects", "ba"))).toEqual([digest]);
    expect(Buffer.from(await store.get(digest)).toString()).toBe("abc");
    expect([await store.has(digest), await store.has("0".repeat(64))]).toEqual([true, false]);
  });

  it("never gives bytes that are not those of the digest, and heals by the next put", async () => {
    const store = openFileStore(join(folder, "objects"));
    const digest = await store.put(Buffer.from("abc"));
    writeFileSync(join(folder, "objects", digest.slice(0, 2), digest), "abd");
    await expect(store.get(digest)).rejects.toMatchObject({ code: "internal" });
    await store.put(Buffer.from("abc"));
    expect(Buffer.from(await store.get(digest)).toString()).toBe("abc");
  });

  it("refuses names that are no digests, and says what it does not have", async () => {
    const store = openFileStore(join(folder, "objects"));
    await expect(store.get("../../etc/passwd")).rejects.toMatchObject({ code: "invalid" });
    await expect(store.get("0".repeat(64))).rejects.toMatchObject({ code: "notFound" });
  });
});

describe("an atomic write", () => {
  it("leaves the old bytes and no rest when the writer fails", async () => {
    const path = join(folder, "file");
    await writeAtomically(path, (handle) => handle.writeFile("old"));
    const write = writeAtomically(path, async (handle) => {
      await handle.writeFile("ne");
      throw new Error("power");
    });
    await expect(write).rejects.toThrow("power");
    expect(readFileSync(path, "utf8")).toBe("old");
    expect(readdirSync(folder).sort()).toEqual(["file", "images"]);
  });
});

describe("a file: source", () => {
  it("is fetched from the image folder, sub folders included", async () => {
    mkdirSync(join(root, "base"));
    writeFileSync(join(root, "base", "a b"), "kernel");
    expect(await fetchTo("file:images/base/a%20b", sha256("kernel"))).toBe(6);
    expect(readFileSync(join(folder, "fetched"), "utf8")).toBe("kernel");
  });

  it.each([
    "file:images/../secret",
    "file:images/base/../../secret",
    "file:images/%2e%2e/secret",
    "file:images//etc/passwd",
    "file:images/%00",
    "file:images/out",
    "file:images/folder-out/secret",
    "file:/etc/passwd",
    "file:///etc/passwd",
    "file:secret",
  ])("may not leave it: %s", async (url) => {
    writeFileSync(join(folder, "secret"), "secret");
    symlinkSync(join(folder, "secret"), join(root, "out"));
    symlinkSync(folder, join(root, "folder-out"));
    await expect(fetchTo(url, sha256("secret"))).rejects.toMatchObject({ code: "refused" });
    expect(readdirSync(folder).sort()).toEqual(["images", "secret"]);
  });

  it("is a plain file: no device, no FIFO, no folder, nothing too large", async () => {
    execFileSync("mkfifo", [join(root, "fifo")]);
    mkdirSync(join(root, "folder"));
    writeFileSync(join(root, "large"), "12345");
    await expect(fetchTo("file:images/fifo", sha256(""))).rejects.toThrow(/not a plain file/);
    await expect(fetchTo("file:images/folder", sha256(""))).rejects.toMatchObject({ code: "refused" });
    await expect(fetchTo("file:images/large", sha256("12345"), { maxBytes: 4 })).rejects.toThrow(/limit is 4/);
    await expect(fetchTo("file:images/absent", sha256(""))).rejects.toMatchObject({ code: "notFound" });
  });
});

describe("fetching", () => {
  const bytes = randomBytes(3_000_000);

  it("brings the bytes, tells progress, and keeps only what has the digest", async () => {
    const url = await serve((_request, response) => void response.end(bytes));
    const seen: number[] = [];
    expect(await fetchTo(`${url}/image`, sha256(bytes), { onProgress: (n: number) => seen.push(n) })).toBe(3_000_000);
    expect(seen.at(-1)).toBe(3_000_000);
    rmSync(join(folder, "fetched"));
    const wrong = fetchTo(`${url}/image`, sha256("other"));
    await expect(wrong).rejects.toMatchObject({
      code: "refused",
      facts: { actual: sha256(bytes), expected: sha256("other") },
    });
    await expect(wrong).rejects.toThrow(new RegExp(`${sha256(bytes)}.*${sha256("other")}`));
    expect(readdirSync(folder)).toEqual(["images"]);
  });

  it("says what a server's refusal means", async () => {
    const url = await serve((request, response) => void response.writeHead(Number(request.url?.slice(1))).end());
    await expect(fetchTo(`${url}/404`, sha256(""))).rejects.toMatchObject({ code: "notFound" });
    await expect(fetchTo(`${url}/401`, sha256(""))).rejects.toMatchObject({ code: "notFound" });
    await expect(fetchTo(`${url}/503`, sha256(""))).rejects.toMatchObject({ code: "unreachable" });
    await expect(fetchTo("http://127.0.0.1:1/x", sha256(""))).rejects.toMatchObject({ code: "unreachable" });
  });

  it("follows five redirects and no sixth, to http URLs without credentials only", async () => {
    const url = await serve((request, response) => {
      const left = Number(/^\/(\d+)$/.exec(request.url ?? "")?.[1] ?? -1);
      if (left === 0) response.end("x");
      else if (left > 0) response.writeHead(302, { location: `/${left - 1}` }).end();
      else response.writeHead(302, { location: decodeURIComponent(request.url?.slice(1) ?? "") }).end();
    });
    expect(await fetchTo(`${url}/5`, sha256("x"))).toBe(1);
    await expect(fetchTo(`${url}/6`, sha256("x"))).rejects.toThrow(/redirects more than 5/);
    for (const to of ["file:///etc/passwd", "ftp://x/", "http://user:pw@127.0.0.1/"]) {
      await expect(fetchTo(`${url}/${encodeURIComponent(to)}`, sha256("x"))).rejects.toMatchObject({ code: "refused" });
    }
  });

  it("bounds size, silence and what was announced, and stops when it is told to", async () => {
    const url = await serve((request, response) => {
      if (request.url === "/endless") {
        response.on("close", () => clearInterval(timer));
        const timer = setInterval(() => response.write(Buffer.alloc(100_000)), 1);
      } else if (request.url === "/silent") response.writeHead(200, { "content-length": 10 }).write("1");
      else {
        response.writeHead(200, { "content-length": 10 });
        response.write("1");
        setTimeout(() => response.destroy(), 50);
      }
    });
    await expect(fetchTo(`${url}/endless`, sha256(""), { maxBytes: 1e6 })).rejects.toThrow(/more than 1000000 bytes/);
    await expect(fetchTo(`${url}/silent`, sha256(""), { idleTimeoutMs: 300 })).rejects.toThrow(
      /broke off after 1 bytes/,
    );
    await expect(fetchTo(`${url}/broken`, sha256(""))).rejects.toMatchObject({ code: "unreachable" });
    const stop = new AbortController();
    setTimeout(() => stop.abort(new Error("stopped")), 100);
    await expect(fetchTo(`${url}/endless`, sha256(""), { signal: stop.signal })).rejects.toThrow();
    expect(readdirSync(folder)).toEqual(["images"]);
  });
});
