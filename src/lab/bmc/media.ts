import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { Agent, type Dispatcher, request } from "undici";
import { guestConnector } from "../guest-network.js";
import type { LabMachine } from "../machine.js";
import type { Journal } from "./journal.js";
import { RedfishError, refuse } from "./messages.js";
import type { BmcStateFile } from "./state.js";

/** A piece that a BMC asks for at once. */
const RANGE_BYTES = 4 * 1024 * 1024;
/** A dual-layer DVD: nothing larger fits a CD/DVD slot. */
const MAX_BYTES = 9 * 1024 ** 3;
const FETCH_MS = 10 * 60_000;

export interface InsertRequest {
  image: string;
  userName: string | null;
  password: string | null;
}

/** The one CD/DVD slot of a machine. A medium is fetched by HTTP ranges into a file, which the machine then holds. */
export class MediaDrive {
  readonly #machine: LabMachine;
  readonly #state: BmcStateFile;
  readonly #journal: Journal;
  readonly #dir: string;
  readonly #caFile: string | null;
  #busy = false;

  constructor(parts: {
    machine: LabMachine;
    state: BmcStateFile;
    journal: Journal;
    dir: string;
    caFile: string | null;
  }) {
    this.#machine = parts.machine;
    this.#state = parts.state;
    this.#journal = parts.journal;
    this.#dir = parts.dir;
    this.#caFile = parts.caFile;
  }

  /** After a restart of the lab the medium is in the machine again, as it was. */
  async restore(): Promise<void> {
    const { medium } = this.#state.current;
    if (!medium) return;
    if (existsSync(medium.file)) await this.#machine.setMedium(medium.file);
    else await this.#state.update({ medium: null });
  }

  /** Refuses a slot that is taken (409), and whatever cannot be fetched whole (400). */
  async insert({ image, userName, password }: InsertRequest): Promise<void> {
    await this.#exclusively(async () => {
      if (this.#state.current.medium) throw refuse(409, "ResourceInUse");
      await mkdir(this.#dir, { recursive: true, mode: 0o700 });
      const file = join(this.#dir, `${createHash("sha256").update(image).digest("hex").slice(0, 16)}.medium`);
      try {
        await this.#fetch(new URL(image), file, userName === null ? null : `${userName}:${password ?? ""}`);
        await this.#machine.setMedium(file);
      } catch (error) {
        await rm(file, { force: true });
        if (error instanceof RedfishError) throw error;
        throw refuse(400, "CouldNotEstablishConnection", [image]);
      }
      await this.#state.update({ medium: { image, file, userName } });
    });
  }

  /** Ejecting an empty slot is accepted and does nothing. */
  async eject(): Promise<void> {
    await this.#exclusively(async () => {
      const { medium } = this.#state.current;
      if (!medium) return;
      await this.#machine.setMedium(null);
      await this.#state.update({ medium: null });
      await rm(medium.file, { force: true });
    });
  }

  async #exclusively(work: () => Promise<void>): Promise<void> {
    if (this.#busy) throw refuse(409, "ResourceInUse");
    this.#busy = true;
    try {
      await work();
    } finally {
      this.#busy = false;
    }
  }

  /** Pieces of one constant file: a size or an ETag that changes on the way is an error. */
  async #fetch(url: URL, file: string, basic: string | null): Promise<void> {
    const verify = this.#state.current.verifyCertificate;
    const ca = verify && this.#caFile ? readFileSync(this.#caFile) : undefined;
    const connect = guestConnector({ rejectUnauthorized: verify, ...(ca ? { ca } : {}) });
    const agent = new Agent({ connect, headersTimeout: 10_000 });
    const signal = AbortSignal.timeout(FETCH_MS);
    const handle = await open(file, "w", 0o600);
    try {
      let at = 0;
      let total = Number.POSITIVE_INFINITY;
      let etag: string | undefined;
      while (at < total) {
        const headers: Record<string, string> = { range: `bytes=${at}-${at + RANGE_BYTES - 1}` };
        if (etag) headers["if-match"] = etag;
        if (basic) headers.authorization = `Basic ${Buffer.from(basic).toString("base64")}`;
        const response = await request(url, { dispatcher: agent, headers, signal });
        const size = sizeOf(url, response, at);
        if (at > 0 && size !== total) throw refuse(400, "CouldNotEstablishConnection", [url.href]);
        total = size;
        etag = headerOf(response, "etag");
        const before = at;
        for await (const piece of response.body) {
          at += (piece as Buffer).length;
          if (at > total) throw refuse(400, "CouldNotEstablishConnection", [url.href]);
          await handle.write(piece as Buffer);
        }
        // An answer without bytes would make this loop endless.
        if (at === before) throw refuse(400, "CouldNotEstablishConnection", [url.href]);
      }
      await handle.sync();
      this.#journal.fetchedMedium(url.href, at);
    } finally {
      await handle.close();
      await agent.destroy();
    }
  }
}

function sizeOf(url: URL, response: Dispatcher.ResponseData, at: number): number {
  const { statusCode } = response;
  if (statusCode === 401 || statusCode === 403) throw refuse(400, "AccessDenied", [url.href]);
  const size =
    statusCode === 206
      ? Number(headerOf(response, "content-range")?.split("/")[1])
      : statusCode === 200 && at === 0
        ? Number(headerOf(response, "content-length"))
        : Number.NaN;
  if (!(size > 0 && size <= MAX_BYTES)) throw refuse(400, "CouldNotEstablishConnection", [url.href]);
  return size;
}

function headerOf(response: Dispatcher.ResponseData, name: string): string | undefined {
  const value = response.headers[name];
  return Array.isArray(value) ? value[0] : value;
}
