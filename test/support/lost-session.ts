import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { Client, Connection } from "@temporalio/client";
import { expect } from "vitest";
import type { SessionRecord } from "../../src/domain/record.js";
import { type Home, type Operator, until } from "./operator.js";

/** Ends a target's session at the Temporal server, as somebody with its UI would: nothing of the session runs any more. */
export async function terminate(op: Operator, target: string): Promise<void> {
  const { port } = JSON.parse(readFileSync(join(op.data, "temporal", "server.json"), "utf8")) as { port: number };
  const connection = await Connection.connect({ address: `127.0.0.1:${port}` });
  await new Client({ connection }).workflow.getHandle(`maintenance/${target}`).terminate("a test");
  await connection.close();
}

/**
 * Holds back the reconcilers of each server that is started with `env`: what they would start, they start when they are
 * released. Each target that waits is said as `held TARGET`.
 */
export class HeldReconciler {
  readonly env: { NODE_OPTIONS: string };
  readonly #released: string;

  constructor(folder: string) {
    this.#released = join(folder, "released");
    const hook = join(folder, "hold-reconciler.mjs");
    writeFileSync(
      hook,
      `import { existsSync } from "node:fs";
globalThis[Symbol.for("pitstop.effects")] = async ({ point, when, target }) => {
  if (point !== "states.bringHome" || when !== "before") return;
  if (!existsSync(${JSON.stringify(this.#released)})) console.log("held " + target);
  while (!existsSync(${JSON.stringify(this.#released)})) await new Promise((done) => setTimeout(done, 200));
};
`,
    );
    this.env = { NODE_OPTIONS: `--import ${pathToFileURL(hook).href}` };
  }

  release(): void {
    writeFileSync(this.#released, "");
  }
}

/** The lost session is told as lost, and another one has brought its target home: one boot, all as it was, nothing left open. */
export async function expectRepaired(
  op: Operator,
  target: string,
  session: string,
  before: Home,
  how: RegExp,
): Promise<void> {
  const record = await until(
    `the lost session of ${target} is told as ended`,
    async () => {
      const found = (await op.rest(`/api/v1/sessions/${session}`).catch(() => null)) ?? null;
      const body = found?.ok ? ((await found.json()) as SessionRecord) : null;
      return body?.endedAt ? body : null;
    },
    200_000,
  );
  expect(record).toMatchObject({ session, outcome: "failed", ending: "restored", failure: { code: "lost" } });
  expect(record.failure?.message).toMatch(how);
  const after = await op.home(target);
  expect(after).toMatchObject({ machineId: before.machineId, bootCount: before.bootCount + 1 });
  expect(op.bmc(target)).toMatchObject({ override: { enabled: "Disabled" }, medium: null, wasOn: true });
  // The session that brought it home has ended as well, with a proof of its own, and nothing is left open anywhere.
  await op.untilEnded(target);
  const list = JSON.parse((await op.run("get", "sessions", "--target", target, "-o", "json")).out) as SessionRecord[];
  expect(list.every(({ endedAt, ending }) => endedAt !== null && ending === "restored")).toBe(true);
  const by = list.find((one) => record.failure?.message.includes(one.session));
  const restore = (await (await op.rest(`/api/v1/sessions/${by?.session}`)).json()) as SessionRecord;
  expect(restore).toMatchObject({ ending: "restored", restore: { differences: [] }, home: { proved: true } });
  await sleep(200);
  expect(existsSync(join(op.data, "site", "journal", `${target}.json`))).toBe(false);
}
