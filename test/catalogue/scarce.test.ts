import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openCatalogue } from "../../src/catalogue/sql-catalogue.js";
import { snapshotOf } from "../boot/help.js";

test("a catalogue that had no room and no file handle for a while takes everything again afterwards", async () => {
  const data = mkdtempSync(join(tmpdir(), "pitstop-scarce-"));
  process.env.PITSTOP_DATA = data;
  const { scarce } = await import("../simulation/real/scarce.mjs");
  const catalogue = await openCatalogue({ data });
  try {
    let failed = 0;
    let met = 0;
    // Large enough that tables grow, and need files that they had not: those are what could not be made.
    const keep = async (i: number) => {
      const name = `t${i % 50}`;
      const snapshot = { ...snapshotOf("s"), target: name, home: [] };
      await catalogue.keepSnapshot({ ...snapshot, identity: { ...snapshot.identity, model: "m".repeat(1500) } });
      if (i % 3 === 0) await catalogue.closeSnapshot(name, "s");
    };
    for (let i = 0; i < 300; i++) {
      met += scarce("disk", i % 7 < 3) + scarce("handles", i % 5 < 2);
      await keep(i).catch(() => failed++);
    }
    met += scarce("disk", false) + scarce("handles", false);
    expect(failed).toBeGreaterThan(20);
    expect(met).toBeGreaterThan(20);
    // The first may still meet what is opened anew after it.
    await keep(300).catch(() => undefined);
    for (let i = 301; i < 360; i++) await keep(i);
    expect(await catalogue.openSnapshots()).not.toEqual([]);
  } finally {
    scarce("disk", false);
    scarce("handles", false);
    await catalogue.close();
    rmSync(data, { recursive: true, force: true });
  }
}, 120_000);
