import { fileURLToPath } from "node:url";
import { Client, Connection } from "@temporalio/client";
import type { DataConverter } from "@temporalio/common";
import { loadClientConfigProfile, loadClientConnectConfig } from "@temporalio/envconfig";
import { NativeConnection } from "@temporalio/worker";
import { messageOf, PitstopError } from "../domain/errors.js";
import { NO_KEYS, type PayloadKeys, SealedPayloads } from "./payload-codec.js";

/** Where Temporal is. `configured` came from Temporal's own settings; else it is our dev server. */
export interface TemporalAddress {
  address: string;
  namespace: string;
  configured: boolean;
}

/** The address in the environment or in a profile; null when nothing is configured. */
export function configuredAddress(): TemporalAddress | null {
  const profile = loadClientConfigProfile();
  if (!profile.address) return null;
  return { address: profile.address, namespace: profile.namespace ?? "default", configured: true };
}

export interface TemporalConnections {
  client: Client;
  connection: Connection;
  native: NativeConnection;
  namespace: string;
  /** For whatever else reads or writes what Temporal keeps: workers, replays. */
  dataConverter: DataConverter;
  /** Whether what is written is encrypted. */
  sealed: boolean;
  close(): Promise<void>;
}

/** Connects as client and as worker. `unreachable`, with the address, after `timeoutMs`. */
export async function connectTemporal(
  where: TemporalAddress,
  timeoutMs = 30_000,
  keys: PayloadKeys = NO_KEYS,
): Promise<TemporalConnections> {
  const options = where.configured ? loadClientConnectConfig().connectionOptions : { address: where.address };
  const dataConverter = dataConverterFor(keys);
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    try {
      const connection = await Connection.connect({ ...options, connectTimeout: "5s" });
      const native = await NativeConnection.connect(options);
      return {
        connection,
        native,
        namespace: where.namespace,
        client: new Client({ connection, namespace: where.namespace, dataConverter }),
        dataConverter,
        sealed: keys.current !== null,
        close: async () => {
          await native.close();
          await connection.close();
        },
      };
    } catch (error) {
      if (Date.now() > deadline) {
        throw new PitstopError(
          "unreachable",
          `Temporal does not answer at ${where.address}: ${messageOf(error)}. Start it, or correct TEMPORAL_ADDRESS.`,
          { cause: error },
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
  }
}

/** Without keys nothing is encrypted, and a payload that is encrypted already is refused in one sentence. */
export const dataConverterFor = (keys: PayloadKeys): DataConverter => ({
  payloadCodecs: [new SealedPayloads(keys)],
  ...(keys.current === null
    ? {}
    : { failureConverterPath: fileURLToPath(new URL("./sealed-failures.cjs", import.meta.url)) }),
});
