import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundleWorkflowCode, DefaultLogger, Runtime } from "@temporalio/worker";
import { cacheFolder } from "../../src/cache-folder.js";
import { ensureRetention, ensureSearchAttributes } from "../../src/temporal/attributes.js";
import { findTemporal } from "../../src/temporal/binary.js";
import { connectTemporal, type TemporalConnections } from "../../src/temporal/connect.js";
import { type DevServer, ensureDevServer } from "../../src/temporal/devserver.js";

// Failing activities are what these tests are about; the SDK's warnings of them would bury the report.
Runtime.install({
  logger: new DefaultLogger("ERROR"),
  telemetryOptions: { logging: { filter: { core: "ERROR", other: "ERROR" } } },
});

export interface TestTemporal {
  server: DevServer;
  connections: TemporalConnections;
  stop(): Promise<void>;
}

/** A real dev server of this test file's own, with a database file in a temporary folder. */
export async function startTestTemporal(): Promise<TestTemporal> {
  const dir = mkdtempSync(join(tmpdir(), "pitstop-temporal-"));
  const server = await ensureDevServer({
    program: () => findTemporal(cacheFolder(), () => undefined),
    dir,
    log: () => undefined,
  });
  const connections = await connectTemporal(server);
  await ensureSearchAttributes(connections.connection, server.namespace);
  await ensureRetention(connections.connection, server.namespace, 30);
  return {
    server,
    connections,
    stop: async () => {
      await connections.close();
      await server.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

let bundle: Promise<{ code: string }> | null = null;

/** The workflows, bundled from the sources once per test file. */
export function workflowBundle(): Promise<{ code: string }> {
  bundle ??= bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL("../../workflows/index.ts", import.meta.url)),
    logger: { trace() {}, debug() {}, info() {}, log() {}, warn: console.warn, error: console.error } as never,
    webpackConfigHook: (config) => ({
      ...config,
      resolve: { ...config.resolve, extensionAlias: { ".js": [".ts", ".js"] } },
    }),
  });
  return bundle;
}
