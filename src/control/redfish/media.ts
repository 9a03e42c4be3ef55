import { PitstopError } from "../../domain/errors.js";
import { ABSENT, type Reading, unreadable } from "../../domain/reading.js";
import type { MediaSlot } from "../../domain/snapshot.js";
import type { Inserted } from "../control.js";
import type { JsonObject } from "../json.js";
import { type Answer, faultOf, messagesOf, namesIn } from "./faults.js";
import { amended, PARAMETERS } from "./insert-parameters.js";
import { followTask, laterOf, notYet } from "./later.js";
import type { Machine } from "./machine.js";
import { Manager, sameLink } from "./resources.js";
import { holdsCd, insertedFrom, isVerified, type Slot, shows, slotFrom } from "./slots.js";
import { remedyBut } from "./ways.js";

/** A BMC opens the medium when it is told to insert it; over slow links that takes a while. Milliseconds. */
const READ_BACK_PAUSES_MS = [200, 500, 1_000, 2_000, 4_000, 8_000];

/** A BMC that copies the medium takes minutes over it; an arming has five. Milliseconds. */
const INSERT_MS = 200_000;

/** Each slot that differs is ejected and waited for; the richest BMCs show four. */
const MAX_SLOTS = 32;

/** A manager for each BMC of a multi-node chassis; nobody asks more of them. */
const MAX_MANAGERS = 8;

/** The virtual media slots of one system, wherever the service keeps them. `MediaDrives` remembers the path, not its state. */
export class MediaDrives {
  private link: string | null = null;

  constructor(private readonly machine: Machine) {}

  async read(): Promise<Reading<MediaSlot[]>> {
    const slots = await this.slots();
    if (slots === null) return ABSENT;
    if (typeof slots === "string") return unreadable(slots);
    return slots.map(({ slot, inserted, image, verifyCertificate }) => ({ slot, inserted, image, verifyCertificate }));
  }

  /** Whether there is a virtual CD; false too where that cannot be read. */
  async hasDrive(): Promise<boolean> {
    const slots = await this.slots().catch((error: unknown) => {
      if (error instanceof PitstopError && error.code === "refused" && error.facts.identity !== true) return null;
      throw error;
    });
    return Array.isArray(slots) && slots.some((slot) => holdsCd(slot.media));
  }

  /** See Media.insert. A slot that will not take the medium is passed over for the next. */
  async insert(url: string, verify: boolean): Promise<Inserted> {
    this.refuseUrl(url);
    const slots = (await this.known()).filter((slot) => holdsCd(slot.media));
    const there = slots.find((slot) => slot.inserted && shows(slot, url));
    if (there && (!verify || isVerified(there, url))) return insertedFrom(there, url);
    const emptyFirst = [...slots].sort((a, b) => Number(a.inserted) - Number(b.inserted));
    let refusal: PitstopError | null = null;
    for (const slot of emptyFirst) {
      try {
        if (slot.inserted) await this.eject(slot);
        return await this.put(verify ? await this.verifying(slot, url) : slot, url);
      } catch (error) {
        if (!(error instanceof PitstopError) || error.code !== "refused" || error.facts.identity === true) throw error;
        refusal ??= error;
      }
    }
    if (refusal) throw refusal;
    throw new PitstopError(
      "refused",
      `${this.machine.target.name}'s BMC has no virtual CD or DVD drive; ${await this.otherWays()}.`,
    );
  }

  /** See Media.restore. A slot that appeared since is emptied too. */
  async restore(to: MediaSlot[]): Promise<void> {
    for (const slot of await this.known()) {
      const before = to.find((one) => sameLink(one.slot, slot.slot));
      const wanted = before?.inserted === true ? before.image : null;
      if ((slot.inserted ? slot.image : null) !== wanted || (slot.inserted && before?.inserted !== true)) {
        if (slot.inserted) await this.eject(slot);
        if (wanted !== null) await this.put(slot, wanted);
      }
      await this.restoreVerification(slot, before?.verifyCertificate ?? null);
    }
  }

  private async restoreVerification(slot: Slot, before: boolean | null): Promise<void> {
    if (before === null || slot.verifyCertificate === null || slot.verifyCertificate === before) return;
    const answer = await this.patch(slot, { VerifyCertificate: before });
    if (answer.status >= 400) throw faultOf(answer, `VerifyCertificate of ${slot.slot}`);
  }

  /** The slots; a text says why they cannot be read; null where the machine has none. */
  private async slots(): Promise<Slot[] | string | null> {
    const { client, dialect, target } = this.machine;
    let any = false;
    for await (const link of this.link === null ? this.places() : [this.link]) {
      const bodies = await client.members(link, dialect.parentFirst);
      any = true;
      if (bodies.length > MAX_SLOTS) {
        throw new PitstopError(
          "refused",
          `${target.name}'s BMC shows ${bodies.length} virtual media slots; this is no sane service. Reset the BMC.`,
        );
      }
      if (bodies.length === 0) continue;
      this.link = link;
      const slots = bodies.map(slotFrom);
      const bad = slots.find((slot) => typeof slot === "string");
      return bad ?? slots.filter((slot) => typeof slot !== "string");
    }
    // A collection that was full and is empty now is looked for anew the next time.
    this.link = null;
    return any ? [] : null;
  }

  private async known(): Promise<Slot[]> {
    const slots = await this.slots();
    if (typeof slots !== "string") return slots ?? [];
    throw new PitstopError(
      "unreachable",
      `The virtual media of ${this.machine.target.name} cannot be read now (${slots}).`,
    );
  }

  /**
   * The collections that may hold the drives, best first: the system's own (DSP0268 since ComputerSystem 1.13), those of all managers
   * that it links, else that of the service's only manager.
   */
  private async *places(): AsyncGenerator<string> {
    const { system } = await this.machine.look();
    if (system.VirtualMedia !== null) yield system.VirtualMedia;
    const linked = (system.Links.ManagedBy ?? []).slice(0, MAX_MANAGERS);
    for (const manager of linked.length > 0 ? linked : await this.onlyManager()) {
      const answer = await this.machine.client.get(manager, [404]);
      const link = answer === null ? null : Manager.parse(answer.body).VirtualMedia;
      if (link !== null) yield link;
    }
  }

  private async onlyManager(): Promise<string[]> {
    const { Managers: link } = await this.machine.client.root();
    if (link === null) return [];
    const links = await this.machine.client.links(link);
    // With several nobody says whose drives they are.
    return links.length === 1 ? links : [];
  }

  private async eject(slot: Slot): Promise<void> {
    const target = slot.media.Actions["#VirtualMedia.EjectMedia"].target;
    const answer =
      target !== null ? await this.post(target, {}) : await this.patch(slot, { Image: null, Inserted: false });
    if (answer.status >= 400 && answer.status !== 404) throw faultOf(answer, `the ejection of ${slot.slot}`);
    const later = laterOf(this.machine, answer);
    if (later !== null) await followTask(this.machine, later, `the ejection of ${slot.slot}`, INSERT_MS);
    const after = await this.readBack(slot, (now) => !now.inserted);
    if (after?.inserted === true) {
      throw new PitstopError(
        "refused",
        `${this.machine.target.name}'s BMC does not eject ${after.image ?? "the medium"} from ${slot.slot}; eject it by hand, or reset the BMC.`,
      );
    }
  }

  private async put(slot: Slot, url: string): Promise<Inserted> {
    const did = `the medium in ${slot.slot}`;
    const answer = await this.ask(slot, url);
    if (answer.status >= 400) throw await this.insertRefusal(answer, did);
    const later = laterOf(this.machine, answer);
    if (
      later !== null &&
      (await followTask(this.machine, later, did, INSERT_MS)) === "running" &&
      later.task !== null
    ) {
      throw notYet(this.machine, did, INSERT_MS);
    }
    const after = await this.readBack(slot, (now) => now.inserted && shows(now, url));
    if (after?.inserted === true && shows(after, url)) return insertedFrom(after, url);
    throw new PitstopError(
      "refused",
      `${this.machine.target.name}'s BMC took the medium for ${slot.slot} but does not show it as inserted; ` +
        "see whether the BMC reaches the address in PITSTOP_SITE_BMC_URL and trusts its certificate.",
    );
  }

  /**
   * `ask` ejects from a drive that refuses, because it may hold what it does not show, and inserts once more. A slot without the
   * action gets its properties changed, and only those that an ejection changes back.
   */
  private async ask(slot: Slot, url: string): Promise<Answer> {
    const target = slot.media.Actions["#VirtualMedia.InsertMedia"].target;
    if (target === null)
      return await this.amending({ Image: url, Inserted: true }, url, (body) => this.patch(slot, body));
    const full = { Image: url, Inserted: true, WriteProtected: true };
    const first = this.machine.dialect.insertBody === "full" ? full : { Image: url };
    const insert = () => this.amending(first, url, (body) => this.post(target, body));
    const answer = await insert();
    const eject = slot.media.Actions["#VirtualMedia.EjectMedia"].target;
    const isTaken =
      answer.status === 409 || messagesOf(answer.body).some(({ id }) => /InUse|Conflict|Already/.test(id));
    if (!isTaken || eject === null || this.machine.dialect.ejectEmptyDrive === "fails") return answer;
    await this.post(eject, {});
    return await insert();
  }

  /** A refusal names what it misses, or what it does not take: each parameter is added once, and left out once. */
  private async amending(first: JsonObject, url: string, send: (body: JsonObject) => Promise<Answer>): Promise<Answer> {
    let body = first;
    const changed = new Set<string>();
    for (;;) {
      const answer = await send(body);
      if (answer.status < 400) return answer;
      const next = amended(body, answer, url, changed);
      if (next === null) return answer;
      body = next;
    }
  }

  private async otherWays(): Promise<string> {
    return await remedyBut("virtual-media", this.machine, await this.machine.look(), async () => false);
  }

  private async insertRefusal(answer: Answer, did: string): Promise<PitstopError> {
    const fault = faultOf(answer, did);
    const missed = namesIn(answer.body, PARAMETERS);
    if (fault.code !== "refused" || missed.length === 0) return fault;
    const message = `${fault.message.replace(/\.$/, "")}; Pitstop has no other ${missed.join(", ")} to give it, so ${await this.otherWays()}.`;
    return new PitstopError(fault.code, message, { facts: fault.facts });
  }

  /** Ensures that the slot checks the certificate of the server that it fetches from. */
  private async verifying(slot: Slot, url: string): Promise<Slot> {
    const isHttps = url.startsWith("https:");
    if (isHttps && slot.verifyCertificate === false) {
      await this.patch(slot, { VerifyCertificate: true });
      const now = await this.readBack(slot, (one) => one.verifyCertificate === true);
      if (now?.verifyCertificate === true) return now;
    }
    if (isHttps && slot.verifyCertificate === true) return slot;
    throw new PitstopError(
      "refused",
      `${this.machine.target.name}'s BMC does not verify the certificate of the server that it reads ${slot.slot} from ` +
        '(VerifyCertificate), so its boot way is only a claim; let its owner add "destructive-over-lan" to boot.allow.',
    );
  }

  private async post(target: string, body: JsonObject): Promise<Answer> {
    await this.machine.compareIdentity();
    const path = this.machine.client.transport.pathOf(target);
    return await this.machine.client.send({ method: "POST", path, body, again: "busy" });
  }

  private async patch(slot: Slot, body: JsonObject): Promise<Answer> {
    await this.machine.compareIdentity();
    const path = this.machine.client.transport.pathOf(slot.slot);
    const tag = slot.media["@odata.etag"];
    const headers = tag === null ? {} : { headers: { "if-match": tag } };
    const answer = await this.machine.client.send({ method: "PATCH", path, body, again: "busy", ...headers });
    if (answer.status !== 412) return answer;
    return await this.machine.client.send({ method: "PATCH", path, body, again: "busy" });
  }

  private async readBack(slot: Slot, done: (now: Slot) => boolean): Promise<Slot | null> {
    for (let i = 0; ; i++) {
      const answer = await this.machine.client.get(slot.slot, [404]);
      const read = answer === null ? null : slotFrom(answer.body);
      const now = typeof read === "string" ? null : read;
      const pauseMs = READ_BACK_PAUSES_MS[i];
      if (now === null || done(now) || pauseMs === undefined) return now;
      await this.machine.sleep(pauseMs);
    }
  }

  private refuseUrl(url: string): void {
    const bad = [...this.machine.dialect.mediaUrlWithout].find((character) => url.includes(character));
    if (bad === undefined) return;
    throw new PitstopError(
      "refused",
      `${this.machine.target.name}'s BMC takes no medium whose address has a "${bad}"; serve it under a plain path.`,
    );
  }
}
