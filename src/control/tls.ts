import { readFile } from "node:fs/promises";
import { isAbsolute, resolve } from "node:path";
import { TLSSocket } from "node:tls";
import { buildConnector } from "undici";
import type { TlsTrust } from "../domain/basics.js";
import { fileErrorCode, messageOf, PitstopError } from "../domain/errors.js";

/** How a server's certificate is verified, with the CA's bytes at hand. A pinned fingerprint decides alone. */
export type Trust =
  | { by: "system" }
  | { by: "ca"; pem: string }
  | { by: "fingerprint"; fingerprint256: string }
  | { by: "nothing" };

/** Reads what `trust` names. A relative CA path is taken from `root`. */
export async function readTrust(trust: TlsTrust, root: string): Promise<Trust> {
  if (trust.fingerprint256 !== undefined) return { by: "fingerprint", fingerprint256: trust.fingerprint256 };
  if (trust.ca !== undefined) {
    const path = isAbsolute(trust.ca) ? trust.ca : resolve(root, trust.ca);
    try {
      return { by: "ca", pem: await readFile(path, "utf8") };
    } catch (error) {
      throw new PitstopError(
        fileErrorCode(error),
        `The CA file ${path} cannot be read (${messageOf(error)}); correct tls.ca.`,
      );
    }
  }
  return trust.insecure === true ? { by: "nothing" } : { by: "system" };
}

/**
 * Connects, and hands the socket on only after the certificate has been judged: no byte of HTTP, and so no
 * credential, is ever sent to a server that is not trusted.
 *
 * A pinned leaf is compared instead of the chain, the name and the dates: it holds for self-signed certificates and
 * whatever the clocks say. Sessions are not resumed, so that each connection shows its certificate.
 */
export function trustedConnector(trust: Trust, connectMs: number): buildConnector.connector {
  const connect = buildConnector({
    timeout: connectMs,
    maxCachedSessions: 0,
    rejectUnauthorized: trust.by === "system" || trust.by === "ca",
    ...(trust.by === "ca" ? { ca: trust.pem } : {}),
  });
  if (trust.by !== "fingerprint") return connect;
  return (options, callback) =>
    connect(options, (...[error, socket]) => {
      if (error !== null) return callback(error, null);
      const shown = socket instanceof TLSSocket ? socket.getPeerCertificate().fingerprint256 : undefined;
      if (shown === trust.fingerprint256) return callback(null, socket);
      socket.destroy();
      callback(
        wrongFingerprint(`${options.hostname}${options.port ? `:${options.port}` : ""}`, shown, trust.fingerprint256),
        null,
      );
    });
}

function wrongFingerprint(host: string, shown: string | undefined, pinned: string): PitstopError {
  return new PitstopError(
    "refused",
    `${host} shows the certificate ${shown ?? "none"}, but its document pins ${pinned}; nothing was sent. ` +
      "If the certificate was renewed on purpose, put the new fingerprint into tls.fingerprint256.",
  );
}
