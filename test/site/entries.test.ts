import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { endOf, MAC, PXE, planOf, sites, snapshotOf, UUID } from "../boot/help.js";

describe("an entry", () => {
  const newSite = sites();

  it("keeps the first snapshot, across restarts and for the session that takes over from a dead one", async () => {
    const site = await newSite();
    const first = planOf({ session: "s-1" });
    await site.site.open(first, "run-1");
    const kept = await site.site.keepSnapshot("r1-n07", "s-1", snapshotOf("s-1"));
    await site.restart();
    const armed = { ...snapshotOf("s-1", "Off"), takenAt: "2026-02-02T00:00:00.000Z" };
    expect(await site.site.keepSnapshot("r1-n07", "s-1", armed)).toEqual(kept);

    site.link.alive = true;
    await expect(site.site.open(planOf({ session: "s-2" }), "run-2")).rejects.toMatchObject({ code: "busy" });
    site.link.alive = "unknown";
    await expect(site.site.open(planOf({ session: "s-2" }), "run-2")).rejects.toMatchObject({ code: "unreachable" });
    site.link.alive = true;
    site.link.ended.add("s-1");
    expect((await site.site.open(planOf({ session: "s-2" }), "run-2")).snapshot).toEqual(kept);
    await expect(site.site.keepSnapshot("r1-n07", "s-1", armed)).rejects.toMatchObject({ code: "busy" });
  });

  it("of a newer Pitstop is left alone: its target is refused, goes home, and other targets are served", async () => {
    const site = await newSite();
    await site.stop();
    const path = join(site.folder, "site", "journal", "r1-n07.json");
    const text = '{"version":2}';
    writeFileSync(path, text);
    await site.start();
    await expect(site.site.open(planOf(), "run")).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringContaining("A newer Pitstop wrote the site's entry of r1-n07"),
    });
    await site.site.withdraw("r1-n07", planOf().session);
    await site.site.close("r1-n07", planOf().session);
    expect((await site.get(`/boot.ipxe?platform=pcbios&mac=${MAC}&uuid=${UUID}&serial=x`)).text).not.toContain(
      "kernel",
    );
    const other = planOf({ name: "r1-n08", uuid: "4c4c4544-0042-4810-8051-b4c04f4e4d32", macs: ["52:54:00:12:34:02"] });
    await site.publish(other);
    expect(site.site.entries().map(({ target }) => target)).toEqual(["r1-n08"]);
    expect(readFileSync(path, "utf8")).toBe(text);
  });

  it("of an older Pitstop keeps the site from starting, in one sentence", async () => {
    const site = await newSite();
    await site.site.open(planOf(), "run");
    await site.stop();
    const path = join(site.folder, "site", "journal", "r1-n07.json");
    const { version, ...old } = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
    expect(version).toBe(1);
    writeFileSync(path, JSON.stringify(old));
    await expect(site.start()).rejects.toMatchObject({
      code: "refused",
      message: expect.stringContaining(`${path} is a journal entry of an older Pitstop`),
    });
    expect(JSON.parse(readFileSync(path, "utf8"))).toEqual(old);
  });

  it("is published as an ensured state, and a late attempt of an earlier arming is refused", async () => {
    const site = await newSite();
    const plan = planOf();
    await site.publish(plan, 2);
    const nonce = await site.nonce();
    const again = await site.site.publish("r1-n07", plan.session, 2, PXE, false);
    expect(site.site.entry("r1-n07")?.boot?.nonces.map((one) => one.nonce)).toEqual([nonce]);
    await expect(site.site.publish("r1-n07", plan.session, 1, PXE, false)).rejects.toMatchObject({ code: "conflict" });
    const next = await site.site.publish("r1-n07", plan.session, 3, PXE, false);
    expect(next.httpBootUri).not.toBe(again.httpBootUri);
    expect((await site.get(`/b/${nonce}/vmlinuz`)).status).toBe(404);
    await site.site.withdraw("r1-n07", plan.session);
    await site.site.withdraw("r1-n07", plan.session);
    await expect(site.site.publish("r1-n07", plan.session, 3, PXE, false)).rejects.toMatchObject({ code: "conflict" });
  });

  it("is not published before its image is staged, by virtual media, or past its deadline", async () => {
    const site = await newSite();
    const plan = planOf();
    await site.site.open(plan, plan.session);
    await expect(site.site.publish("r1-n07", plan.session, 1, PXE, false)).rejects.toThrow(/is not staged/);
    await site.publish(plan);
    site.nowMs = endOf(plan);
    await expect(site.site.publish("r1-n07", plan.session, 2, PXE, false)).rejects.toThrow(/deadline/);
    await site.site.close("r1-n07", plan.session);
    await expect(site.site.publish("r1-n07", plan.session, 2, PXE, false)).rejects.toMatchObject({ code: "notFound" });
  });

  it("is staged once, with a matching digest only", async () => {
    const site = await newSite();
    const plan = planOf();
    const signal = new AbortController().signal;
    const seen: number[] = [];
    const both = [
      site.site.stage(plan, PXE, (bytes) => seen.push(bytes), signal),
      site.site.stage(plan, PXE, () => {}, signal),
    ];
    expect((await Promise.all(both)).map((one) => one.fetchedBytes).sort((a, b) => a - b)).toEqual([0, 12006]);
    expect(seen.at(-1)).toBe(12006);
    const wrong = planOf({ kernel: { url: "file:images/vmlinuz", sha256: "0".repeat(64) } });
    await expect(site.site.stage(wrong, PXE, () => {}, signal)).rejects.toThrow(
      /has the sha256 [0-9a-f]{64}, but the image says 0{64}/,
    );
  });
});
