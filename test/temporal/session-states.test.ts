import { readdirSync, readlinkSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { knowsSearchAttributes } from "../../src/temporal/attributes.js";
import { sessionStates } from "../../src/temporal/session-states.js";
import { SEARCH_ATTRIBUTES } from "../../workflows/attributes.js";
import { startTestTemporal, type TestTemporal } from "../support/temporal.js";

const ROUNDS = 40;

let temporal: TestTemporal;
beforeAll(async () => {
  temporal = await startTestTemporal();
}, 120_000);
afterAll(async () => {
  await temporal?.stop();
});

function socketsOfServer(): number {
  const folder = `/proc/${temporal.server.pid()}/fd`;
  return readdirSync(folder).filter((name) => {
    try {
      return readlinkSync(`${folder}/${name}`).startsWith("socket:");
    } catch {
      return false;
    }
  }).length;
}

test("rounds of the reconciler leave no connection open in the Temporal server", { timeout: 60_000 }, async () => {
  const states = sessionStates(temporal.connections);
  await expect.poll(() => knowsSearchAttributes(temporal.connections.client), { timeout: 20_000 }).toBe(true);
  await states.held();
  const before = socketsOfServer();
  for (let round = 0; round < ROUNDS; round++) expect(await states.held()).toEqual(new Set());
  expect(socketsOfServer()).toBeLessThan(before + ROUNDS / 4);
});

test("search attributes that a server has lost are registered by the next round", { timeout: 60_000 }, async () => {
  const { client, connection, namespace } = temporal.connections;
  await connection.operatorService.removeSearchAttributes({
    namespace,
    searchAttributes: SEARCH_ATTRIBUTES.map((key) => key.name),
  });
  // A server tells its caches with some delay.
  await expect.poll(() => knowsSearchAttributes(client), { timeout: 20_000 }).toBe(false);
  await sessionStates(temporal.connections).held();
  await expect.poll(() => knowsSearchAttributes(client), { timeout: 20_000 }).toBe(true);
});
