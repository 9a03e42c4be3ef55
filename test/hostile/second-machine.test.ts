import fc from "fast-check";
import { Agent, request } from "undici";
import { afterEach, describe, expect, it } from "vitest";
import type { MintedNonce } from "../../src/site/entry.js";
import { withFresh } from "../../src/site/nonces.js";
import { BOOT_ID, MAC, OTHER_BOOT_ID, PXE, planOf, sites, type TestSite, UUID } from "../boot/help.js";
import { bounded } from "./attack.js";

/** The second machine: another address of the same network, that knows the target's names and no secret. */
const STRANGER = "127.0.0.2";
const OTHER_UUID = "4c4c4544-0042-4810-8051-b4c04f4e4d32";
const OTHER_MAC = "52:54:00:12:34:02";
const CLAIM = `/boot.ipxe?platform=pcbios&mac=${MAC}&uuid=${UUID}&serial=x`;

const start = sites();
const agents: Agent[] = [];
afterEach(async () => {
  for (const agent of agents.splice(0)) await agent.destroy();
});

function from(address: string, tls: { ca?: string } = {}): Agent {
  const agent = new Agent({ localAddress: address, connect: { servername: "localhost", ...tls } });
  agents.push(agent);
  return agent;
}

function stranger(site: TestSite): (path: string) => Promise<{ status: number; text: string }> {
  const dispatcher = from(STRANGER);
  return async (path) => {
    const answer = await request(`http://127.0.0.1:${site.running.ports.http}${path}`, { dispatcher });
    return { status: answer.statusCode, text: await answer.body.text() };
  };
}

const nonceIn = (script: string): string => /\/b\/([^/]+)\/vmlinuz/.exec(script)?.[1] ?? "";
const isHome = (script: string): boolean => !script.includes("kernel ") && /^exit/m.test(script);
const result = { status: "succeeded", exitCode: 0, durationMs: 1 };

describe("over plain netboot, where a name is only a claim, a second machine", () => {
  it("gets the boot script and its files by claiming the target's names, and no secret with them", async () => {
    const site = await start();
    await site.publish();
    const get = stranger(site);
    const script = (await get(CLAIM)).text;
    const folder = `/b/${nonceIn(script)}`;
    const archive = (await get(`${folder}/session.cpio`)).text;
    expect((await get(`${folder}/vmlinuz`)).status).toBe(200);
    expect(archive).toContain("PITSTOP_NONCE=");
    for (const secret of ["BMC", "credentials", "PRIVATE KEY", "password", "127.0.0.1:1"]) {
      expect(`${script}${archive}`).not.toContain(secret);
    }
  });

  it("that says hello first is thrown out by the target's own hello, and the session hears of it once", async () => {
    const site = await start();
    await site.publish();
    const stolen = nonceIn((await stranger(site)(CLAIM)).text);
    const first = await site.hello(stolen, { bootId: OTHER_BOOT_ID });
    expect(first.status).toBe(200);
    const own = await site.hello(stolen, { bootId: BOOT_ID });
    expect(own.status).toBe(410);
    expect(site.link.reboots).toHaveLength(1);
    const token = String(first.json.token);
    expect((await site.agent("GET", "/agent/v1/next", { token })).status).toBe(410);
    expect(isHome((await site.get(CLAIM)).text)).toBe(true);
  });

  it("ends the work by a second fetch, which brings the target home, once, and nothing more", async () => {
    const site = await start();
    const token = await site.token();
    const get = stranger(site);
    for (let i = 0; i < 5; i++) expect(isHome((await get(CLAIM)).text)).toBe(true);
    expect(site.link.reboots).toHaveLength(1);
    expect((await site.agent("GET", "/agent/v1/next", { token })).status).toBe(410);
  });

  it("that asks without a pause takes nothing from the target, and is sent home after a while", async () => {
    const site = await start();
    site.nowMs = Date.now();
    await site.publish();
    const nonce = await site.nonce();
    const get = stranger(site);
    const scripts: string[] = [];
    for (let i = 0; i < 100; i++) scripts.push((await get(CLAIM)).text);
    expect(scripts.filter((text) => nonceIn(text) !== "")).toHaveLength(32);
    expect(scripts.slice(32).every(isHome)).toBe(true);
    const held = site.site.entry("r1-n07")?.boot?.nonces.map(({ from: address }) => address);
    expect(held).toEqual(["127.0.0.1", ...Array.from({ length: 15 }, () => STRANGER)]);
    expect((await site.get(`/b/${nonce}/session.cpio`)).status).toBe(200);
    expect((await site.hello(nonce)).status).toBe(200);
  });

  it("with its own names gets its way home", async () => {
    const site = await start();
    await site.publish();
    const own = `/boot.ipxe?platform=pcbios&mac=${OTHER_MAC}&uuid=${OTHER_UUID}&serial=${MAC}`;
    expect(isHome((await stranger(site)(own)).text)).toBe(true);
    // The card of the target in another machine takes no session along either.
    expect(isHome((await stranger(site)(own.replace(OTHER_MAC, MAC))).text)).toBe(true);
  });

  it("with the target's nonce, but its own names in the hello, is refused and spends nothing", async () => {
    const site = await start();
    await site.publish();
    const nonce = await site.nonce();
    expect((await site.hello(nonce, { uuid: OTHER_UUID, macs: [OTHER_MAC] })).status).toBe(403);
    expect((await site.hello(nonce)).status).toBe(200);
  });
});

describe("on a sealed path a second machine", () => {
  it("gets no script, no nonce and no medium, and revokes nothing, whatever it claims", {
    timeout: 120_000,
  }, async () => {
    const site = await start();
    const plan = planOf({ via: "virtual-media", grade: "sealed" });
    await site.publish(plan);
    const boot = site.site.entry("r1-n07")?.boot;
    const nonce = boot?.nonces[0]?.nonce ?? "";
    const hello = await site.hello(nonce);
    expect(hello.status, hello.text).toBe(200);
    const get = stranger(site);
    for (let i = 0; i < 3; i++) expect(isHome((await get(CLAIM)).text)).toBe(true);
    for (const path of [
      `/b/${nonce}/session.cpio`,
      `/b/${nonce}/vmlinuz`,
      "/m//test-image.iso",
      "/m/x/test-image.iso",
    ]) {
      expect((await get(path)).status, path).toBe(404);
    }
    // The plain listener has no media at all, the true path included.
    expect((await get(`/m/${boot?.mediaSegment}/test-image.iso`)).status).toBe(404);
    expect(site.link.reboots).toHaveLength(0);
    const token = String(hello.json.token);
    expect((await site.agent("GET", "/agent/v1/next", { token })).status).toBe(200);
  });

  it("guesses no medium: another segment, or another name below the true one, is 404", {
    timeout: 120_000,
  }, async () => {
    const site = await start();
    await site.publish(planOf({ via: "virtual-media", grade: "sealed" }));
    const segment = site.site.entry("r1-n07")?.boot?.mediaSegment ?? "";
    const true_ = `/m/${segment}/test-image.iso`;
    expect((await site.media(true_, {}, "HEAD")).status).toBe(200);
    await bounded(
      fc.asyncProperty(
        fc.oneof(
          fc.stringMatching(/^[A-Za-z0-9_-]{32}$/).map((guess) => `/m/${guess}/test-image.iso`),
          fc.nat(segment.length - 1).map((at) => `/m/${segment.slice(0, at)}/test-image.iso`),
          fc.constantFrom("..", ".", "%2e%2e", "test-image.iso%00", "other.iso").map((name) => `/m/${segment}/${name}`),
        ),
        async (path) => {
          expect([400, 404], path).toContain((await site.media(path)).status);
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe("a nonce and a token", () => {
  it("are void after the session has withdrawn the target, has ended, or was followed by another one", async () => {
    const site = await start();
    const plan = planOf();
    const token = await site.token(plan);
    const nonce = site.site.entry("r1-n07")?.boot?.spentNonce ?? "";
    await site.agent("POST", "/agent/v1/done", { token, json: { outcome: "succeeded" } });
    await site.site.withdraw("r1-n07", plan.session);
    expect((await site.agent("GET", "/agent/v1/next", { token })).status).toBe(410);
    expect((await site.hello(nonce)).status).toBe(410);
    await site.site.close("r1-n07", plan.session);
    expect((await site.agent("GET", "/agent/v1/next", { token })).status).toBe(401);
    expect((await site.hello(nonce)).status).toBe(401);
    await site.publish(planOf({ session: "0196f1d2-0000-7000-8000-000000000002" }));
    expect((await site.agent("GET", "/agent/v1/next", { token })).status).toBe(410);
    expect((await site.hello(nonce)).status).toBe(401);
    expect((await site.get(`/b/${nonce}/session.cpio`)).status).toBe(404);
  });

  it("are void after the target was armed anew, and open the files no more after the hello", async () => {
    const site = await start();
    const token = await site.token();
    const nonce = site.site.entry("r1-n07")?.boot?.spentNonce ?? "";
    expect((await site.get(`/b/${nonce}/session.cpio`)).status).toBe(404);
    await site.site.publish("r1-n07", planOf().session, 2, PXE, false);
    expect((await site.agent("GET", "/agent/v1/next", { token })).status).toBe(410);
    expect((await site.hello(nonce)).status).toBe(410);
  });

  it("of one target open nothing of another, at this site or another one", async () => {
    const site = await start();
    const token = await site.token();
    const other = planOf({
      name: "r1-n08",
      session: "0196f1d2-0000-7000-8000-000000000002",
      uuid: OTHER_UUID,
      macs: [OTHER_MAC],
      tasks: [{ id: "other-1", name: "other", scriptSha256: "0".repeat(64) }],
    });
    await site.publish(other);
    for (const part of ["result", "progress"]) {
      const answer = await site.agent("POST", `/agent/v1/tasks/other-1/${part}`, { token, json: result });
      expect(answer.status, part).toBe(404);
    }
    const forged = token.replace("r1-n07", "r1-n08");
    expect((await site.agent("GET", "/agent/v1/next", { token: forged })).status).toBe(401);
    const elsewhere = await start();
    await elsewhere.publish();
    expect((await elsewhere.agent("GET", "/agent/v1/next", { token })).status).toBe(401);
  });

  it("cannot be made up: any change of a token's text is refused", async () => {
    const site = await start();
    const token = await site.token();
    await bounded(
      fc.asyncProperty(fc.nat(token.length - 1), fc.constantFrom(..."Aa0~_-."), async (at, character) => {
        const changed = token.slice(0, at) + character + token.slice(at + 1);
        // The last character of base64url has bits that mean nothing: another one may stand for the same bytes.
        if (changed === token || at === token.length - 1) return;
        expect((await site.agent("GET", "/agent/v1/next", { token: changed })).status, changed).toBe(401);
      }),
      { numRuns: 120 },
    );
  });

  it("are given over verified TLS only: not on the plain listener, and to nobody without the CA", async () => {
    const site = await start();
    await site.publish();
    for (const path of ["/agent/v1/hello", "/agent/v1/next", "/agent/v1/done"]) {
      expect((await site.get(path, {}, "POST")).status).toBe(404);
    }
    const url = `https://127.0.0.1:${site.running.ports.tls}/agent/v1/next`;
    await expect(request(url, { dispatcher: from(STRANGER) })).rejects.toThrow(/certificate/);
    const elsewhere = await start();
    const wrongCa = from(STRANGER, { ca: elsewhere.running.ca });
    await expect(request(url, { dispatcher: wrongCa })).rejects.toThrow(/certificate/);
    const right = await request(url, { dispatcher: from(STRANGER, { ca: site.running.ca }) });
    await right.body.dump();
    expect(right.statusCode).toBe(401);
  });
});

describe("the nonces of a target", () => {
  const askers = fc.array(fc.constantFrom("target", "a", "b", "c", undefined), { maxLength: 200 });

  it("are few, and who asks seldom keeps its own", async () => {
    await bounded(
      fc.property(askers, (addresses) => {
        let kept: MintedNonce[] = [];
        for (const [index, from] of addresses.entries()) {
          kept = withFresh(kept, { nonce: `n${index}`, mintedAt: "", from });
          expect(kept.length).toBeLessThanOrEqual(16);
        }
        // Five addresses share sixteen places: three of each are safe.
        for (const address of new Set(addresses)) {
          const asked = addresses.flatMap((one, index) => (one === address ? [`n${index}`] : []));
          const held = kept.filter((one) => one.from === address).map((one) => one.nonce);
          expect(held.slice(-3)).toEqual(asked.slice(-3));
        }
      }),
      { numRuns: 300 },
    );
  });
});
