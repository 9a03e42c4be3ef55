import { readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { PitstopClient } from "../api/client.js";
import { type Config, loadConfig } from "../config.js";
import type { Io } from "./io.js";

/** The settings of this command: `pitstop.yaml` and the environment. */
export const configOf = (io: Io): Config => loadConfig(io.env, io.cwd);

/** The server of `PITSTOP_URL`, else the one that this machine's settings would start. */
export function connect(io: Io): PitstopClient {
  const config = configOf(io);
  return new PitstopClient({ url: serverUrl(config), token: config.PITSTOP_TOKEN ?? localToken(config) });
}

export function serverUrl(config: Config): string {
  if (config.PITSTOP_URL) return config.PITSTOP_URL;
  const { host, port } = config.PITSTOP_LISTEN;
  const reach = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  return `http://${reach.includes(":") ? `[${reach}]` : reach}:${port}`;
}

/** On the server's machine the token needs no setting. Null elsewhere: the server then says what it wants. */
function localToken(config: Config): string | null {
  try {
    return readFileSync(join(config.PITSTOP_DATA, "token"), "utf8").trim() || null;
  } catch {
    return null;
  }
}

/** Who asks, for the record: the name that the operating system knows. */
export function whoAsks(io: Io): string {
  try {
    return userInfo().username;
  } catch {
    return io.env.USER ?? "unknown";
  }
}
