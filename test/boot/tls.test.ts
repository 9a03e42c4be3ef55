import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ensureTls, siteNames } from "../../src/boot/tls.js";
import { sites } from "./help.js";

const newSite = sites();
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pitstop-tls-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const DAY_MS = 86_400_000;

describe("the site's certificate", () => {
  it("is made once, private, for the names that targets use, valid from long ago", async () => {
    const names = siteNames(["https://10.9.8.7:8482", "http://boot.example.net:8481", undefined]);
    const made = await ensureTls(folder, names, Date.now);
    expect(await ensureTls(folder, names, Date.now)).toEqual(made);
    const leaf = new X509Certificate(made.certificate);
    const ca = new X509Certificate(made.ca);
    expect(leaf.verify(ca.publicKey)).toBe(true);
    expect(ca.ca).toBe(true);
    expect(leaf.ca).toBe(false);
    for (const ip of ["127.0.0.1", "10.0.2.2", "10.9.8.7", "::1"]) expect(leaf.checkIP(ip), ip).toBeTruthy();
    for (const host of ["localhost", "boot.example.net"]) expect(leaf.checkHost(host), host).toBeTruthy();
    expect(new Date(leaf.validFrom).getUTCFullYear()).toBe(2000);
    for (const name of ["ca.key", "tls.key"]) expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
  });

  it("is renewed with the same key near its end and for other names, under the same CA", async () => {
    const first = await ensureTls(folder, ["localhost"], Date.now);
    const later = await ensureTls(folder, ["localhost"], () => Date.now() + 370 * DAY_MS);
    const named = await ensureTls(folder, ["localhost", "10.1.1.1"], Date.now);
    expect(later.certificate).not.toBe(first.certificate);
    expect(named.certificate).not.toBe(later.certificate);
    expect(new Set([first, later, named].map((one) => one.pin)).size).toBe(1);
    expect(new Set([first, later, named].map((one) => one.ca)).size).toBe(1);
  });

  it("satisfies curl by its CA, and by its pin whatever the clock says; another pin does not", async () => {
    const site = await newSite();
    const { tls } = site.running.ports;
    const archive = (
      await (async () => {
        await site.publish();
        return await site.get(`/b/${await site.nonce()}/session.cpio`);
      })()
    ).text;
    const pin = /PITSTOP_PIN='([^']+)'/.exec(archive)?.[1] ?? "";
    const curl = (...args: string[]) =>
      execa("curl", ["-sS", "-o", "/dev/null", "-w", "%{http_code}", ...args], { reject: false });
    const ca = join(site.folder, "site", "ca.pem");
    expect((await curl("--cacert", ca, `https://localhost:${tls}/boot.ipxe`)).stdout).toBe("200");
    expect((await curl("--insecure", "--pinnedpubkey", pin, `https://127.0.0.1:${tls}/boot.ipxe`)).stdout).toBe("200");
    const other = `sha256//${Buffer.alloc(32, 7).toString("base64")}`;
    expect((await curl("--insecure", "--pinnedpubkey", other, `https://127.0.0.1:${tls}/boot.ipxe`)).exitCode).toBe(90);
  });
});
