import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { SessionRecord } from "../../src/domain/record.js";
import type { FaultSpec } from "../../src/lab/bmc/faults/index.js";
import type { Lab } from "../../src/lab/lab.js";
import { Operations } from "../support/operations.js";

/** BMCs that are away in the midst of a session, and back some time later: nobody is called, and the target comes home. */
const AWAY: Record<string, { faults: FaultSpec[]; forMs: number }> = {
  "drops-100-s": { faults: [{ fault: "drop" }], forMs: 100_000 },
  "busy-100-s": { faults: [{ fault: "status", status: 503 }], forMs: 100_000 },
  "refuses-logins-20-s": {
    // Its sessions are lost too, as when it restarts: whoever comes must log in anew.
    faults: [{ fault: "status", status: 401 }],
    forMs: 20_000,
  },
};
const NAMES = Object.keys(AWAY);
const MINUTES = 60_000;

let operations: Operations;
let lab: Lab;
beforeAll(async () => {
  operations = await Operations.start();
  const file = (name: string) => operations.imageFile(name, randomBytes(4096));
  await operations.apply(
    {
      kind: "Image",
      name: "tiny",
      role: "maintenance",
      arch: "x86_64",
      kernel: file("kernel"),
      initrds: [file("initrd")],
    },
    {
      ...{ kind: "Action", name: "look", image: "tiny", mode: "active" },
      tasks: [{ name: "look", script: "sleep 5; echo '{}'" }],
    },
  );
  lab = await operations.machines(NAMES.map((name) => ({ name })));
}, 5 * MINUTES);
afterAll(() => operations?.stop());

it.concurrent.each(NAMES)(
  "a BMC that %s on the way home is waited for, and its target comes home by itself",
  { timeout: 12 * MINUTES },
  async (name) => {
    const { faults, forMs } = AWAY[name] as (typeof AWAY)[string];
    const { started } = await operations.client.start({ target: name, action: "look", requestedBy: "a test" });
    const session = started[0]?.session ?? "";
    await until(session, ({ phase }) => phase === "working");
    const back = faults.map((fault) => lab.target(name).bmc.faults.inject(fault));
    const seen = watch(session);
    await sleep(forMs);
    for (const takeBack of back) takeBack();
    const record = await until(session, ({ endedAt }) => endedAt !== null);
    seen.stop();
    expect(record).toMatchObject({ outcome: "succeeded", ending: "restored", home: { proved: true } });
    expect(record.restore.differences).toEqual([]);
    expect(seen.records.filter(({ ending }) => ending === "stranded")).toEqual([]);
    if (forMs > MINUTES) {
      expect(seen.records.some(({ waitingFor }) => waitingFor?.what === `the BMC of ${name}`)).toBe(true);
    }
    expect(record.waitingFor).toBeNull();
  },
);

function watch(session: string): { records: SessionRecord[]; stop(): void } {
  const records: SessionRecord[] = [];
  const timer = setInterval(() => {
    operations.client.session(session).then(
      (record) => records.push(record),
      () => undefined,
    );
  }, 1_000);
  return { records, stop: () => clearInterval(timer) };
}

async function until(session: string, is: (record: SessionRecord) => boolean): Promise<SessionRecord> {
  for (;;) {
    const record = await operations.client.session(session);
    if (is(record)) return record;
    await sleep(500);
  }
}
