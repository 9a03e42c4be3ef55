import { describe, expect, it } from "vitest";
import { swappedUuid } from "../../src/domain/machine-identity.js";
import { endOf, MAC, PXE, planOf, sites, UUID } from "./help.js";

const newSite = sites();
const HOME_EFI = "#!ipxe\nexit 1\n";
const HOME_BIOS = "#!ipxe\nexit\n";

describe("GET /boot.ipxe", () => {
  it("asks a machine without parameters to come back, and changes nothing", async () => {
    const site = await newSite();
    await site.publish();
    const answer = await site.get("/boot.ipxe");
    expect(answer.status).toBe(200);
    expect(answer.text).toContain("chain --replace --autofree boot.ipxe?platform=");
    expect(site.site.entry("r1-n07")?.boot?.nonces).toEqual([]);
  });

  it("sends an unknown machine home by its firmware", async () => {
    const site = await newSite();
    expect((await site.get("/boot.ipxe?platform=efi&mac=&uuid=&serial=")).text).toBe(HOME_EFI);
    expect((await site.get("/boot.ipxe?platform=pcbios&mac=&uuid=&serial=")).text).toBe(HOME_BIOS);
    expect((await site.get("/boot.ipxe?uuid=nonsense")).text).toContain("goto bios");
  });

  it("renders the live session's script, whole, with a nonce of its own for each fetch", async () => {
    const site = await newSite();
    await site.publish(planOf({ cmdline: ["console=ttyS0,115200", "panic=10"] }));
    const first = await site.get(`/boot.ipxe?platform=pcbios&mac=52-54-00-12-34-01&uuid=${UUID}&serial=a&b=c%20d`);
    const nonce = site.site.entry("r1-n07")?.boot?.nonces[0]?.nonce;
    expect(first.text).toBe(`#!ipxe
# session 0196f1d2-0000-7000-8000-000000000001
imgfree
kernel /b/${nonce}/vmlinuz initrd=initrd0 initrd=session.cpio console=ttyS0,115200 panic=10 oops=panic || goto home
initrd /b/${nonce}/initrd0 || goto home
initrd /b/${nonce}/session.cpio || goto home
boot ||
:home
exit
`);
    const second = await site.nonce();
    expect(second).not.toBe(nonce);
    expect(site.link.events.filter((event) => event.what === "script-fetched")).toHaveLength(2);
    expect((await site.get(`/b/${nonce}/vmlinuz`)).status).toBe(200);
  });

  it("answers HEAD with the length of the script and mints nothing", async () => {
    const site = await newSite();
    await site.publish();
    const path = `/boot.ipxe?platform=pcbios&mac=${MAC}&uuid=${UUID}&serial=`;
    const head = await site.get(path, {}, "HEAD");
    expect(head.text).toBe("");
    expect(site.site.entry("r1-n07")?.boot?.nonces).toEqual([]);
    expect(Number(head.headers["content-length"])).toBe((await site.get(path)).bytes.length);
  });

  it("keeps at most 16 nonces, the newest", async () => {
    const site = await newSite();
    await site.publish();
    const first = await site.nonce();
    for (let i = 0; i < 16; i++) await site.nonce();
    expect(site.site.entry("r1-n07")?.boot?.nonces).toHaveLength(16);
    expect((await site.get(`/b/${first}/vmlinuz`)).status).toBe(404);
  });

  it("knows the target by its UUID in either byte order, and by MAC where no UUID is said", async () => {
    const site = await newSite();
    await site.publish();
    for (const query of [
      `uuid=${swappedUuid(UUID)}`,
      `mac=${MAC}`,
      `mac=${MAC}&uuid=ffffffff-ffff-ffff-ffff-ffffffffffff`,
    ]) {
      expect((await site.get(`/boot.ipxe?platform=pcbios&${query}`)).text, query).toContain("kernel /b/");
    }
  });

  it("does not follow a network card into another machine", async () => {
    const site = await newSite();
    await site.publish();
    const other = "5c4c4544-0042-4810-8051-b4c04f4e4d32";
    expect((await site.get(`/boot.ipxe?platform=pcbios&mac=${MAC}&uuid=${other}`)).text).toBe(HOME_BIOS);
  });

  it("takes nothing in the serial for a parameter", async () => {
    const site = await newSite();
    await site.publish();
    const answer = await site.get(`/boot.ipxe?platform=efi&mac=&uuid=&serial=x&uuid=${UUID}&mac=${MAC}`);
    expect(answer.text).toBe(HOME_EFI);
  });

  it("sends a known target home as its document says: before publish, after withdraw, after the deadline", async () => {
    const site = await newSite();
    const plan = planOf({ home: "sanboot" });
    const path = `/boot.ipxe?platform=pcbios&mac=${MAC}&uuid=${UUID}&serial=`;
    await site.site.open(plan, plan.session);
    expect((await site.get(path)).text).toContain("sanboot --no-describe --drive 0x80 ||\nexit\n");
    await site.publish(plan);
    const nonce = await site.nonce();
    await site.site.withdraw("r1-n07", plan.session);
    expect((await site.get(path)).text).toContain("sanboot");
    expect((await site.get(`/b/${nonce}/vmlinuz`)).status).toBe(404);
    await site.site.publish("r1-n07", plan.session, 2, PXE, false);
    expect((await site.get(path)).text).toContain("kernel /b/");
    site.nowMs = endOf(plan) + 1;
    expect((await site.get(path)).text).toContain("sanboot");
  });

  it("answers 404 where that is the target's way home, and by the firmware seen where it is another one", async () => {
    const site = await newSite();
    const plan = planOf({ firmware: "uefi", home: "404" });
    await site.site.open(plan, plan.session);
    expect((await site.get(`/boot.ipxe?platform=efi&uuid=${UUID}`)).status).toBe(404);
    expect((await site.get(`/boot.ipxe?platform=pcbios&uuid=${UUID}`)).text).toBe(HOME_BIOS);
  });

  it("tells the session of a second fetch after the hello, once, and serves home", async () => {
    const site = await newSite();
    const token = await site.token();
    const path = `/boot.ipxe?platform=pcbios&mac=${MAC}&uuid=${UUID}&serial=`;
    expect((await site.get(path)).text).toBe(HOME_BIOS);
    expect((await site.get(path)).text).toBe(HOME_BIOS);
    expect(site.link.reboots).toEqual([
      { bootId: expect.any(String), how: "the boot script was fetched a second time" },
    ]);
    expect((await site.agent("GET", "/agent/v1/next?wait=0", { token })).status).toBe(410);
  });

  it("does not believe a second fetch in the name of a sealed session", async () => {
    const site = await newSite();
    const token = await site.token(planOf({ grade: "sealed" }));
    await site.get(`/boot.ipxe?platform=pcbios&mac=${MAC}&uuid=${UUID}&serial=`);
    expect(site.link.reboots).toEqual([]);
    expect((await site.agent("GET", "/agent/v1/next?wait=0", { token })).status).toBe(200);
  });
});
