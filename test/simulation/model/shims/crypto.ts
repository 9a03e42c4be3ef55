import { theWorld } from "../world.js";

export * from "node:crypto";

/** Nonces, keys and names are the seed's, so that the same seed is the same story. */
export const randomBytes = (length: number): Buffer => theWorld().random.bytes(length);
export const randomUUID = (): string => theWorld().random.uuid();
