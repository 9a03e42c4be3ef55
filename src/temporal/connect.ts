import { Client, Connection } from "@temporalio/client";
import { loadClientConfigProfile, loadClientConnectConfig } from "@temporalio/envconfig";
import { NativeConnection } from "@temporalio/worker";
import { messageOf, PitstopError } from "../domain/errors.js";

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
  close(): Promise<void>;
}

/** Connects as client and as worker. `unreachable`, with the address, after `timeoutMs`. */
export async function connectTemporal(where: TemporalAddress, timeoutMs = 30_000): Promise<TemporalConnections> {
  const options = where.configured ? loadClientConnectConfig().connectionOptions : { address: where.address };
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    try {
      const connection = await Connection.connect({ ...options, connectTimeout: "5s" });
      const native = await NativeConnection.connect(options);
      return {
        connection,
        native,
        namespace: where.namespace,
        client: new Client({ connection, namespace: where.namespace }),
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
