import type { MediaSlot } from "../../domain/snapshot.js";
import type { Comparison, Inserted } from "../control.js";
import { isObject, type JsonObject } from "../json.js";
import { sameLink, VirtualMedia } from "./resources.js";

/** A slot with what its resource shows. */
export interface Slot extends MediaSlot {
  media: VirtualMedia;
}

/**
 * `Inserted` may stay true after an ejection: no image, or no connection, is an empty drive whatever it says. What a
 * person put in by a console's applet has no image, and counts. A text says why the slot cannot be read.
 */
export function slotFrom(body: JsonObject): Slot | string {
  const media = VirtualMedia.parse(body);
  const slot = media["@odata.id"];
  if (!isObject(body) || slot === null) return "a virtual media slot does not say its own path (@odata.id)";
  const garbled = (["Image", "Inserted", "ConnectedVia"] as const).find(
    (name) => (body[name] ?? null) !== null && media[name] === null,
  );
  if (garbled !== undefined) return `${garbled} of ${slot} has a form that Redfish does not have`;
  const image = media.Image === "" ? null : media.Image;
  const held = image !== null || media.ConnectedVia === "Applet";
  const inserted = media.Inserted !== false && held && media.ConnectedVia !== "NotConnected";
  return { slot, inserted, image: inserted ? image : null, verifyCertificate: media.VerifyCertificate, media };
}

/** Whether the BMC checks the certificate of the server that this address names. */
export const isVerified = (slot: Slot, url: string): boolean =>
  slot.verifyCertificate === true && url.startsWith("https:");

export const insertedFrom = (slot: Slot, url: string): Inserted => ({
  slot: slot.slot,
  inserted: true,
  image: slot.image,
  verified: isVerified(slot, url),
});

/** Some services show an image without the scheme and host that it came from. */
export const shows = (slot: Slot, url: string): boolean =>
  slot.image === url || (slot.image?.startsWith("/") === true && slot.image.length > 1 && url.endsWith(slot.image));

export const holdsCd = (media: VirtualMedia): boolean =>
  media.MediaTypes === null || media.MediaTypes.length === 0 || media.MediaTypes.some((t) => t === "CD" || t === "DVD");

/** `compareMedia` compares what the slots hold. An empty slot that appeared since is no difference. */
export function compareMedia(before: MediaSlot[], after: MediaSlot[]): Comparison {
  const held = (slots: MediaSlot[], kept: (slot: MediaSlot) => boolean) =>
    slots
      .filter(kept)
      .map((one) => ({
        slot: one.slot.replace(/\/+$/, ""),
        inserted: one.inserted,
        image: one.inserted ? one.image : null,
      }))
      .sort((a, b) => a.slot.localeCompare(b.slot));
  const was = held(before, () => true);
  const is = held(after, (one) => one.inserted || before.some((known) => sameLink(known.slot, one.slot)));
  const differences = JSON.stringify(was) === JSON.stringify(is) ? [] : [{ field: "media", before: was, after: is }];
  const turned = before.filter((one) => {
    const now = after.find((other) => sameLink(other.slot, one.slot))?.verifyCertificate ?? null;
    return (one.verifyCertificate ?? null) !== null && now !== null && now !== one.verifyCertificate;
  });
  return {
    differences: [
      ...differences,
      ...turned.map(({ slot, verifyCertificate: value }) => ({
        field: `media.verifyCertificate ${slot}`,
        ...{ before: value, after: !value },
      })),
    ],
    added: [],
  };
}

/** The slot that holds somebody's medium; null where all are empty. */
export const pendingMedia = (slots: MediaSlot[]): string | null => slots.find((one) => one.inserted)?.slot ?? null;
