import type { FastifyInstance, FastifyReply } from "fastify";
import type { Clock } from "../site/clock.js";
import type { Entries } from "../site/entries.js";
import type { SiteBoot, SiteEntry } from "../site/entry.js";
import { sameSecret } from "../site/nonces.js";
import { bootFile, EFI_PROGRAMS, efiProgram } from "./boot-files.js";
import type { BootScripts } from "./boot-script.js";
import type { ImageCache } from "./cache.js";
import { readClaim } from "./machine-claim.js";
import { mediumBelow, servedMedium } from "./medium-served.js";
import { type Served, serve } from "./served.js";
import type { ArchiveFacts } from "./session-archive.js";

export interface BootRoutes {
  entries: Pick<Entries, "all">;
  scripts: BootScripts;
  cache: ImageCache;
  archiveFacts: () => ArchiveFacts;
  /** Folder of iPXE's EFI programs. */
  ipxeFolder: string;
  /** The last byte of a file below a nonce went out. */
  onFetched: (entry: SiteEntry, boot: SiteBoot, name: string) => void;
  /** A piece of a medium went out whose last byte was the one at `end`. */
  onMediumRead: (entry: SiteEntry, boot: SiteBoot, end: number) => void;
  now: Clock;
}

const GET_AND_HEAD = ["GET", "HEAD"];

/**
 * Every path of the boot server. Anything else is 404, and 404 is a way home.
 *
 * | path | what |
 * |---|---|
 * | `/boot.ipxe` | who are you; the live session's script; the way home |
 * | `/b/<nonce>/<file>` | kernel, initrds and session archive, until the hello |
 * | `/u/<segment>/snponly.efi` (or `ipxe.efi`) | iPXE for UEFI HTTP boot, while the session is published |
 * | `/m/<segment>/<image>.iso` | the session's medium, for the BMC, while the session is published ({@link mediaRoutes}) |
 */
export function bootRoutes(app: FastifyInstance, on: BootRoutes): void {
  app.route({
    method: GET_AND_HEAD,
    url: "/boot.ipxe",
    handler: async (request, reply) => {
      const query = request.raw.url?.split("?").slice(1).join("?") ?? "";
      const script = await on.scripts.answer(readClaim(query), request.method === "HEAD", request.ip);
      if (script === null) return notFound(reply);
      reply.type("text/plain; charset=us-ascii").header("cache-control", "no-store");
      return reply.header("content-length", Buffer.byteLength(script)).send(request.method === "HEAD" ? null : script);
    },
  });

  app.route<{ Params: { nonce: string; file: string } }>({
    method: GET_AND_HEAD,
    url: "/b/:nonce/:file",
    handler: async (request, reply) => {
      const { nonce, file } = request.params;
      const found = on.scripts.filesOf(nonce);
      const served = found
        ? await bootFile(file, { ...found, nonce }, { cache: on.cache, facts: on.archiveFacts() })
        : null;
      if (!found || !served) return notFound(reply);
      const onSent = (end: number): void => {
        if (end === served.bytes - 1) on.onFetched(found.entry, found.boot, file);
      };
      return await serve(request, reply, { ...served, onSent });
    },
  });

  app.route<{ Params: { segment: string; file: string } }>({
    method: GET_AND_HEAD,
    url: "/u/:segment/:file",
    handler: async (request, reply) => {
      const name = EFI_PROGRAMS.find((one) => one === request.params.file);
      const known = on.entries
        .all()
        .some((entry) => entry.boot && sameSecret(entry.boot.mediaSegment, request.params.segment));
      if (!name || !known) return notFound(reply);
      const served: Served = await efiProgram(on.ipxeFolder, name);
      return await serve(request, reply, served);
    },
  });
}

/** The media: on the TLS listener, and on the plain one only where the BMCs were told to come that way. */
export function mediaRoutes(app: FastifyInstance, on: BootRoutes): void {
  app.route<{ Params: { segment: string; file: string } }>({
    method: GET_AND_HEAD,
    url: "/m/:segment/:file",
    handler: async (request, reply) => {
      const found = mediumBelow(on.entries.all(), request.params, on.now);
      if (!found) return notFound(reply);
      const served = servedMedium(await on.cache.openFile(found.medium.sha256), found.medium);
      return await serve(request, reply, { ...served, onSent: (end) => on.onMediumRead(found.entry, found.boot, end) });
    },
  });
}

const notFound = (reply: FastifyReply): FastifyReply =>
  reply.code(404).type("text/plain").send("Nothing is served here.\n");
