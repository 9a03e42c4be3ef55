import { execFileSync } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import "../support/seeded.js";
import { grubBootstrap, grubScript } from "../../src/boot/grub.js";
import { isoFiles } from "../../src/boot/iso-files.js";
import type { SitePlan } from "../../src/domain/session.js";
import { LabConfig } from "../../src/lab/config.js";
import { firstWay, INITRD, KERNEL, MAC, OTHER_BOOT_ID, planOf, sha256, sites, type TestSite, UUID } from "./help.js";

const newSite = sites();
const NO_SIGNAL = new AbortController().signal;
const plan = (of: Parameters<typeof planOf>[0] = {}): SitePlan =>
  planOf({ via: "virtual-media", grade: "sealed", ...of });

/** Opened, staged and published: the URL for the BMC. */
async function published(site: TestSite, of: SitePlan = plan(), epoch = 1): Promise<string> {
  await site.publish(of, epoch);
  const { mediaUrl } = await site.site.publish(of.target.name, of.session, epoch, firstWay(of), false);
  if (mediaUrl === null) throw new Error("no medium");
  return mediaUrl;
}

const pathOf = (url: string): string => new URL(url).pathname;

const wholeOf = async (site: TestSite, url: string): Promise<Buffer> => {
  const answer = await site.media(pathOf(url));
  expect(answer.status).toBe(200);
  return answer.bytes;
};

/** The medium in a file of the site's folder. */
async function inFile(site: TestSite, url: string): Promise<string> {
  const file = join(site.folder, "fetched.iso");
  writeFileSync(file, await wholeOf(site, url));
  return file;
}

/** A file of the medium, as another ISO 9660 reader sees it. */
function extract(site: TestSite, isoFile: string, path: string): Buffer {
  const out = join(site.folder, "extracted");
  execFileSync("xorriso", ["-osirrox", "on", "-overwrite", "on", "-indev", isoFile, "-extract", path, out], {
    stdio: "ignore",
  });
  return readFileSync(out);
}

const nonceOf = (archive: Buffer): string => /PITSTOP_NONCE='([^']+)'/.exec(archive.toString("latin1"))?.[1] ?? "";

describe("a medium", () => {
  it("boots by BIOS and by UEFI, and has kernel, initrds, script and the session's archive in it", async () => {
    const site = await newSite();
    const second = Buffer.from("second initrd");
    writeFileSync(join(site.images, "second"), second);
    const initrds = [
      { url: "file:images/initrd", sha256: sha256(INITRD) },
      { url: "file:images/second", sha256: sha256(second) },
    ];
    const file = await inFile(site, await published(site, plan({ initrds, cmdline: ["console=ttyS0", "panic=7"] })));

    const report = execFileSync("xorriso", ["-indev", file, "-report_el_torito", "plain"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    expect(report).toMatch(/El Torito boot img : +1 +BIOS +y +none/);
    expect(report).toMatch(/El Torito boot img : +2 +UEFI +y +none/);
    expect(extract(site, file, "/vmlinuz").equals(KERNEL)).toBe(true);
    expect(extract(site, file, "/initrd0").equals(INITRD)).toBe(true);
    expect(extract(site, file, "/initrd1").equals(second)).toBe(true);
    expect(extract(site, file, "/boot/pitstop.cfg").toString()).toBe(`\
if linux /vmlinuz console=ttyS0 panic=7 oops=panic; then
  if initrd /initrd0 /initrd1 /session.img; then
    boot
  fi
fi
`);
    const archive = extract(site, file, "/session.img");
    expect(archive.length).toBe(65_536);
    expect(archive.toString("latin1")).toContain("PITSTOP_TARGET='r1-n07'");
    expect(archive.toString("latin1")).toContain("etc/pitstop/ca.pem");
    expect(nonceOf(archive)).toMatch(/^[A-Za-z0-9_-]{32}$/);

    const efi = join(site.folder, "efi.img");
    writeFileSync(efi, extract(site, file, "/boot/efi.img"));
    const program = execFileSync("mtype", ["-i", efi, "::/EFI/BOOT/BOOTX64.EFI"], { maxBuffer: 4 << 20 });
    expect(program.toString("latin1", 0, 2)).toBe("MZ");
  });

  it("never ends at a prompt, looks at no other drive, and lets nothing but one word into its script", () => {
    const lines = grubBootstrap().trim().split("\n");
    expect(lines.at(-1)).toBe("reboot");
    expect(grubBootstrap()).not.toMatch(/search|hd\d|normal$/m);
    const of = { kernel: "vmlinuz", initrds: ["initrd0"] };
    expect(grubScript({ ...of, args: ["a=b"] })).toContain("linux /vmlinuz a=b; then");
    for (const arg of ["a;reboot", "a b", "$root", "a'b", 'a"b', "a\nreboot", "a|b", "{a}", "a\\", ""]) {
      expect(() => grubScript({ ...of, args: [arg] }), arg).toThrow("may only have");
    }
  });

  it("is the same ISO wherever the same image is made, and made once for all targets that boot it", async () => {
    const [one, other] = [await newSite(), await newSite()];
    const others = plan({ name: "r1-n08", session: "another", uuid: UUID.replace("4c", "5c"), macs: [] });
    for (const of of [plan(), others]) await one.site.open(of, of.session);
    await Promise.all([plan(), others].map((of) => one.site.stage(of, firstWay(of), () => {}, NO_SIGNAL)));
    await published(other);
    const made = (site: TestSite) =>
      readdirSync(join(site.folder, "site", "media")).map((name) =>
        readFileSync(join(site.folder, "site", "media", name), "utf8"),
      );
    expect(made(one)).toHaveLength(1);
    expect(made(one)).toEqual(made(other));
    // Kernel, initrd and ISO: the second target costs no disk.
    expect(readdirSync(join(one.folder, "site", "cache"))).toHaveLength(3);
  });

  it("is made anew when its bytes no longer match, and after a start in which it was found damaged", async () => {
    const site = await newSite();
    const before = await wholeOf(site, await published(site));
    const { sha256: digest } = site.site.entry("r1-n07")?.boot?.medium ?? { sha256: "" };
    const cached = join(site.folder, "site", "cache", digest);
    appendFileSync(cached, "x");
    const url = await published(site, plan(), 2);
    expect((await wholeOf(site, url)).length).toBe(before.length);
    await site.stop();
    writeFileSync(cached, Buffer.alloc(before.length));
    await site.start();
    expect((await site.media(pathOf(url))).status).toBe(404);
    expect((await wholeOf(site, await published(site, plan(), 3))).length).toBe(before.length);
  });

  it("stays in the cache while a session needs it, and goes when the cache is full and nobody does", async () => {
    const site = await newSite({ cacheBytes: 1 });
    const made = () => readdirSync(join(site.folder, "site", "media")).length;
    const other = (n: number) =>
      plan({
        name: `r2-n${n}`,
        session: `other-${n}`,
        uuid: UUID.replace("4c", `5${n}`),
        macs: [],
        cmdline: [`n=${n}`],
      });
    const url = await published(site);
    // What protects it then is what the journal remembers.
    await site.restart();
    await published(site, other(1));
    expect((await site.media(pathOf(url), {}, "HEAD")).status).toBe(200);
    // Staged and not yet armed.
    await site.site.open(other(2), other(2).session);
    await site.site.stage(other(2), firstWay(other(2)), () => {}, NO_SIGNAL);
    await published(site, other(3));
    expect(made()).toBe(4);
    for (const of of [plan(), other(2)]) await site.site.close(of.target.name, of.session);
    await published(site, other(4));
    expect(made()).toBe(3);
  });

  it("that an earlier process did not finish is removed at the start", async () => {
    const site = await newSite();
    await site.stop();
    const left = join(site.folder, "site", "media", ".unfinished-medium-1");
    mkdirSync(join(left, "tree"), { recursive: true });
    writeFileSync(join(left, "tree", "file"), "x");
    await site.start();
    expect(existsSync(left)).toBe(false);
  });
});

describe("the media route", () => {
  it("serves HEAD, strong ETag, length and any range of the same bytes, with the archive over its slot", async () => {
    const site = await newSite();
    const url = await published(site);
    const path = pathOf(url);
    const whole = await wholeOf(site, url);
    const head = await site.media(path, {}, "HEAD");
    expect(head).toMatchObject({ status: 200, bytes: Buffer.alloc(0) });
    expect(head.headers).toMatchObject({ "content-length": String(whole.length), "accept-ranges": "bytes" });
    expect(head.headers.etag).toMatch(/^"[0-9a-f]{64}"$/);
    const { slot } = site.site.entry("r1-n07")?.boot?.medium ?? { slot: { offset: 0, bytes: 0 } };
    const near = fc.integer({ min: -3000, max: 3000 });
    const at = fc.oneof(
      fc.nat({ max: whole.length - 1 }),
      near.map((by) => slot.offset + by),
      near.map((by) => slot.offset + slot.bytes + by),
    );
    await fc.assert(
      fc.asyncProperty(at, fc.nat({ max: 600_000 }), async (start, length) => {
        const end = Math.min(start + length, whole.length - 1);
        const part = await site.media(path, { range: `bytes=${start}-${end}` });
        expect(part.status).toBe(206);
        expect(part.headers.etag).toBe(head.headers.etag);
        expect(part.headers["content-range"]).toBe(`bytes ${start}-${end}/${whole.length}`);
        expect(part.bytes.equals(whole.subarray(start, end + 1))).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  it("names media so that every BMC takes the address: an unguessable segment, .iso, no ? and no =", async () => {
    const site = await newSite({ config: { PITSTOP_SITE_BMC_URL: "https://10.9.8.7:8482" } });
    const url = await published(site);
    expect(url).toMatch(/^https:\/\/10\.9\.8\.7:8482\/m\/[A-Za-z0-9_-]{32}\/test-image\.iso$/);
    const site2 = await newSite();
    expect(await published(site2)).toMatch(new RegExp(`^${site2.running.tlsUrl}/m/`));
  });

  it("serves the same bytes for one arming whatever happens meanwhile, and others to the next", async () => {
    const site = await newSite();
    const url = await published(site);
    const whole = await wholeOf(site, url);
    const { etag } = (await site.media(pathOf(url), {}, "HEAD")).headers;
    expect(await published(site)).toBe(url);
    site.options.config = { PITSTOP_SITE_TLS_URL: "https://elsewhere:1" };
    await site.restart();
    // The same session in another run, with a later deadline.
    const renewed = plan({ leftMs: 7_200_000 });
    await site.site.open(renewed, "another-run");
    await site.site.publish("r1-n07", renewed.session, 1, firstWay(renewed), true);
    expect((await wholeOf(site, url)).equals(whole)).toBe(true);
    expect((await site.media(pathOf(url), {}, "HEAD")).headers.etag).toBe(etag);

    const nextUrl = await published(site, renewed, 2);
    expect(nextUrl).not.toBe(url);
    expect((await site.media(pathOf(url))).status).toBe(404);
    const next = await wholeOf(site, nextUrl);
    expect((await site.media(pathOf(nextUrl), {}, "HEAD")).headers.etag).not.toBe(etag);
    const { slot } = site.site.entry("r1-n07")?.boot?.medium ?? { slot: { offset: 0, bytes: 0 } };
    const outside = (bytes: Buffer) => [bytes.subarray(0, slot.offset), bytes.subarray(slot.offset + slot.bytes)];
    expect(outside(next).every((part, i) => part.equals(outside(whole)[i] ?? Buffer.alloc(0)))).toBe(true);
    const archive = (bytes: Buffer) => bytes.subarray(slot.offset, slot.offset + slot.bytes);
    expect(nonceOf(archive(next))).not.toBe(nonceOf(archive(whole)));
  });

  it("ends with the session's publication: 404 after withdraw, past the deadline, once revoked, and for other names", async () => {
    const site = await newSite();
    const path = pathOf(await published(site));
    const segment = path.split("/")[2] ?? "";
    for (const other of [`/m/${segment}/other.iso`, `/m/${segment.slice(1)}A/test-image.iso`, "/m//test-image.iso"]) {
      expect((await site.media(other)).status, other).toBe(404);
    }
    site.nowMs = Date.now() + 3_700_000;
    expect((await site.media(path, {}, "HEAD")).status).toBe(404);
    site.nowMs = null;
    expect((await site.media(path, {}, "HEAD")).status).toBe(200);
    await site.site.withdraw("r1-n07", plan().session);
    expect((await site.media(path, {}, "HEAD")).status).toBe(404);
  });

  it("is on the plain listener only where BMCs are told to come by http", async () => {
    const sealed = await newSite();
    expect((await sealed.get(pathOf(await published(sealed)))).status).toBe(404);
    const plain = await newSite({ config: { PITSTOP_SITE_BMC_URL: "http://10.9.8.7:8481" } });
    const url = await published(plain);
    expect(url).toMatch(/^http:\/\/10\.9\.8\.7:8481\/m\//);
    expect((await plain.get(pathOf(url), {}, "HEAD")).status).toBe(200);
  });

  it("tells how far a medium was read", async () => {
    const site = await newSite();
    const path = pathOf(await published(site));
    const { kernel, lastInitrd } = site.site.entry("r1-n07")?.boot?.medium ?? {};
    const read = (end: number) => site.media(path, { range: `bytes=${Math.max(0, end - 9)}-${end}` });
    const seen = () => site.site.contacts("r1-n07");
    await site.media(path, {}, "HEAD");
    expect(seen()).toEqual({ scriptFetched: false, kernelFetched: false, initrdFetched: false });
    await read(9);
    expect(seen()).toEqual({ scriptFetched: true, kernelFetched: false, initrdFetched: false });
    const ends = [kernel, lastInitrd].map((part) => (part ? part.offset + part.bytes - 1 : 0)).sort((a, b) => a - b);
    await read(ends[1] ?? 0);
    expect(seen()).toEqual({ scriptFetched: true, kernelFetched: true, initrdFetched: true });
    await read(ends[1] ?? 0);
    expect(site.link.events).toEqual([{ what: "medium-fetched" }]);
  });
});

describe("a session by a medium", () => {
  it("takes the nonce in the medium for a hello, and nothing else by the network", async () => {
    const site = await newSite();
    const url = await published(site);
    const nonce = nonceOf(await wholeOf(site, url));
    for (const platform of ["pcbios", "efi"]) {
      const script = await site.get(`/boot.ipxe?platform=${platform}&mac=${MAC}&uuid=${UUID}&serial=x`);
      expect(script.text).toMatch(platform === "efi" ? /^#!ipxe\nexit 1\n$/ : /^#!ipxe\nexit\n$/);
    }
    expect((await site.get(`/b/${nonce}/vmlinuz`)).status).toBe(404);
    const hello = await site.hello(nonce);
    expect(hello.status).toBe(200);
    expect(site.link.hellos).toHaveLength(1);
    // The BMC may go on reading what the image runs from.
    expect((await site.media(pathOf(url), {}, "HEAD")).status).toBe(200);
    await site.get(`/boot.ipxe?platform=pcbios&mac=${MAC}&uuid=${UUID}&serial=x`);
    expect((await site.agent("GET", "/agent/v1/next?wait=0", { token: String(hello.json.token) })).status).toBe(200);
  });

  it("ends when the medium boots a second time: both boots are revoked and the medium is gone", async () => {
    const site = await newSite();
    const url = await published(site);
    const nonce = nonceOf(await wholeOf(site, url));
    const token = String((await site.hello(nonce)).json.token);
    expect((await site.hello(nonce, { bootId: OTHER_BOOT_ID })).status).toBe(410);
    expect((await site.agent("GET", "/agent/v1/next?wait=0", { token })).status).toBe(410);
    expect((await site.media(pathOf(url))).status).toBe(404);
    expect(site.link.reboots).toHaveLength(1);
  });

  it("is refused at staging, before the target was touched, where the site cannot make media", async () => {
    const site = await newSite({ grubFolder: "/nonexistent" });
    await expect(published(site)).rejects.toThrow(
      /\/nonexistent\/i386-pc\/kernel\.img.*apt-get install grub-efi-amd64-bin grub-pc-bin/,
    );
    const pxe = planOf();
    await expect(
      site.publish({ ...pxe, target: { ...pxe.target, name: "r1-n08" }, session: "b" }),
    ).resolves.toBeUndefined();
  });

  it("is refused for another architecture than x86_64", async () => {
    const site = await newSite();
    const of = plan();
    if (of.image) of.image.arch = "aarch64";
    await expect(published(site, of)).rejects.toThrow("Media are made for x86_64 only");
  });

  it("is refused when it is destructive and its medium would travel in the clear, unless the owner allows that", async () => {
    const site = await newSite({ config: { PITSTOP_SITE_BMC_URL: "http://10.9.8.7:8481" } });
    const of = plan();
    if (of.action) of.action.destructive = true;
    await expect(published(site, of)).rejects.toThrow("make it https");
    of.target.boot.allow.push("destructive-over-lan");
    expect(await published(site, of)).toContain("/m/");
  });
});

it("a file that is no ISO 9660 image is not read as one", async () => {
  const site = await newSite();
  const file = join(site.folder, "no.iso");
  for (const [bytes, why] of [
    [Buffer.alloc(100), "too short"],
    [Buffer.alloc(100_000), "no primary volume descriptor"],
  ] as const) {
    writeFileSync(file, bytes);
    const handle = await open(file);
    await expect(isoFiles(handle)).rejects.toThrow(why);
    await handle.close();
  }
});

it("a lab's process machine cannot be given virtual-media", () => {
  const machines = [{ name: "p1", via: ["virtual-media" as const] }];
  expect(LabConfig.safeParse({ machines }).error?.issues).toMatchObject([
    { path: ["machines", 0, "via"], message: expect.stringContaining("cannot boot a medium") },
  ]);
  expect(LabConfig.safeParse({ machines: machines.map((m) => ({ ...m, kind: "qemu" })) }).success).toBe(true);
});
