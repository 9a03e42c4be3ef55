import { PitstopError } from "../../domain/errors.js";
import type { MediaSlot } from "../../domain/snapshot.js";
import { isObject, type JsonObject } from "../json.js";
import { type Answer, faultOf, messagesOf } from "./faults.js";
import type { Machine } from "./machine.js";
import { Manager, VirtualMedia } from "./resources.js";

/** A BMC opens the medium when it is told to insert it; over slow links that takes a while. */
const READ_BACK_PAUSES_MS = [200, 500, 1_000, 2_000, 4_000, 8_000];

/** Each slot that differs is ejected and waited for; the richest BMCs show four. */
const MAX_SLOTS = 32;

interface Slot extends MediaSlot {
  media: VirtualMedia;
}

/** The virtual media slots of one system, wherever the service keeps them. The path is remembered; its state is not. */
export class MediaDrives {
  private link: string | null = null;

  constructor(private readonly machine: Machine) {}

  async read(): Promise<MediaSlot[]> {
    return (await this.slots()).map(({ slot, inserted, image }) => ({ slot, inserted, image }));
  }

  /** Ensures that `url` is in a slot that can hold a CD; a slot that will not take it is passed over for the next. */
  async insert(url: string): Promise<MediaSlot> {
    this.refuseUrl(url);
    const slots = (await this.slots()).filter((slot) => holdsCd(slot.media));
    const there = slots.find((slot) => slot.inserted && shows(slot, url));
    if (there) return { slot: there.slot, inserted: true, image: there.image };
    const emptyFirst = [...slots].sort((a, b) => Number(a.inserted) - Number(b.inserted));
    let refusal: PitstopError | null = null;
    for (const slot of emptyFirst) {
      try {
        await this.eject(slot);
        return await this.put(slot, url);
      } catch (error) {
        if (!(error instanceof PitstopError) || error.code !== "refused") throw error;
        refusal ??= error;
      }
    }
    if (refusal) throw refusal;
    throw new PitstopError(
      "refused",
      `${this.machine.target.name}'s BMC has no virtual CD or DVD drive; name another way in boot.via.`,
    );
  }

  /** Ensures that each slot holds what it held. Only while the target is off: an ejected live medium corrupts its system. */
  async restore(to: MediaSlot[]): Promise<void> {
    if (to.length === 0) return;
    for (const slot of await this.slots()) {
      const before = to.find((one) => one.slot === slot.slot);
      const wanted = before?.inserted === true ? before.image : null;
      if ((slot.inserted ? slot.image : null) === wanted) continue;
      await this.eject(slot);
      if (wanted !== null) await this.put(slot, wanted);
    }
  }

  private async slots(): Promise<Slot[]> {
    const link = await this.find();
    if (link === null) return [];
    const bodies = await this.machine.client.members(link, this.machine.dialect.parentFirst);
    if (bodies.length > MAX_SLOTS) {
      throw new PitstopError(
        "refused",
        `${this.machine.target.name}'s BMC shows ${bodies.length} virtual media slots; this is no sane service. Reset the BMC.`,
      );
    }
    return bodies.flatMap((body) => {
      const slot = slotFrom(body);
      return slot === null ? [] : [slot];
    });
  }

  /** The system's own collection (DSP0268 since ComputerSystem 1.13), else its manager's. */
  private async find(): Promise<string | null> {
    if (this.link !== null) return this.link;
    const system = await this.machine.capabilities();
    this.link = system.VirtualMedia ?? (await this.managersLink(system.Links.ManagedBy?.[0] ?? null));
    return this.link;
  }

  private async managersLink(managerLink: string | null): Promise<string | null> {
    if (managerLink === null) return null;
    const manager = await this.machine.client.get(managerLink, [404]);
    return manager === null ? null : Manager.parse(manager.body).VirtualMedia;
  }

  private async eject(slot: Slot): Promise<void> {
    // Eject first, always: a drive may hold what it does not show. A refusal by a drive that says it is empty is fine.
    if (!slot.inserted && this.machine.dialect.ejectEmptyDrive === "fails") return;
    const target = slot.media.Actions["#VirtualMedia.EjectMedia"].target;
    const answer =
      target !== null ? await this.post(target, {}) : await this.patch(slot, { Image: null, Inserted: false });
    if (!slot.inserted) return;
    if (answer.status >= 400 && answer.status !== 404) throw faultOf(answer, `the ejection of ${slot.slot}`);
    const after = await this.readBack(slot, (now) => !now.inserted);
    if (after?.inserted === true) {
      throw new PitstopError(
        "refused",
        `${this.machine.target.name}'s BMC does not eject ${after.image ?? "the medium"} from ${slot.slot}; eject it by hand, or reset the BMC.`,
      );
    }
  }

  private async put(slot: Slot, url: string): Promise<MediaSlot> {
    const target = slot.media.Actions["#VirtualMedia.InsertMedia"].target;
    const full = { Image: url, Inserted: true, WriteProtected: true };
    const body = this.machine.dialect.insertBody === "full" ? full : { Image: url };
    const answer = target !== null ? await this.insertBy(target, body, url) : await this.patch(slot, full);
    if (answer.status >= 400) throw faultOf(answer, `the medium in ${slot.slot}`);
    const after = await this.readBack(slot, (now) => now.inserted && shows(now, url));
    if (after?.inserted === true && shows(after, url)) return { slot: slot.slot, inserted: true, image: after.image };
    throw new PitstopError(
      "refused",
      `${this.machine.target.name}'s BMC took the medium for ${slot.slot} but does not show it as inserted; ` +
        "see whether the BMC reaches the address in PITSTOP_SITE_BMC_URL and trusts its certificate.",
    );
  }

  /** DSP0268 leaves TransferProtocolType to the service, which derives it from the address; some must be told. */
  private async insertBy(target: string, body: JsonObject, url: string): Promise<Answer> {
    const answer = await this.post(target, body);
    const asks = messagesOf(answer.body).some((m) => m.text.includes("TransferProtocolType"));
    if (answer.status < 400 || !asks) return answer;
    const scheme = new URL(url).protocol === "https:" ? "HTTPS" : "HTTP";
    return await this.post(target, { ...body, TransferProtocolType: scheme, TransferMethod: "Stream" });
  }

  private async post(target: string, body: JsonObject): Promise<Answer> {
    const path = this.machine.client.transport.pathOf(target);
    return await this.machine.client.send({ method: "POST", path, body, again: "busy" });
  }

  private async patch(slot: Slot, body: JsonObject): Promise<Answer> {
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
      const now = answer === null ? null : slotFrom(answer.body);
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

/**
 * `Inserted` may stay true after an ejection: no image, or no connection, is an empty drive whatever it says. What a
 * person put in by a console's applet has no image, and counts.
 */
function slotFrom(body: JsonObject): Slot | null {
  const media = VirtualMedia.parse(body);
  const slot = media["@odata.id"];
  if (!isObject(body) || slot === null) return null;
  const image = media.Image === "" ? null : media.Image;
  const held = image !== null || media.ConnectedVia === "Applet";
  const inserted = media.Inserted !== false && held && media.ConnectedVia !== "NotConnected";
  return { slot, inserted, image: inserted ? image : null, media };
}

/** Some services show an image without the scheme and host that it came from. */
const shows = (slot: Slot, url: string): boolean =>
  slot.image === url || (slot.image?.startsWith("/") === true && slot.image.length > 1 && url.endsWith(slot.image));

const holdsCd = (media: VirtualMedia): boolean =>
  media.MediaTypes === null || media.MediaTypes.length === 0 || media.MediaTypes.some((t) => t === "CD" || t === "DVD");
