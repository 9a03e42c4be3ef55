import { checkServerIdentity } from "node:tls";
import { buildConnector } from "undici";

/** How a guest of QEMU's user network reaches the host's loopback, and so how every machine of a lab does. */
export const HOST_SEEN_BY_GUEST = "10.0.2.2";
const LOOPBACK = "127.0.0.1";

/** The same for curl's `connect-to`, with any port. */
export const CURL_CONNECT_TO = `${HOST_SEEN_BY_GUEST}::${LOOPBACK}:`;

/**
 * Connects as a guest would from a process of this host, so that one site URL serves both kinds of machines. A certificate
 * is compared with the address in the URL, not with the one that it stands for.
 */
export function guestConnector(options: buildConnector.BuildOptions): buildConnector.connector {
  const direct = buildConnector(options);
  const translated = buildConnector({
    ...options,
    checkServerIdentity: (_host, certificate) => checkServerIdentity(HOST_SEEN_BY_GUEST, certificate),
  });
  return (to, callback) => {
    if (to.hostname === HOST_SEEN_BY_GUEST) translated({ ...to, hostname: LOOPBACK }, callback);
    else direct(to, callback);
  };
}
