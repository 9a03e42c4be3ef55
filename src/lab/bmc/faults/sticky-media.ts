import { z } from "zod";
import type { Fault } from "./fault.js";

/** `Inserted` stays true after an eject, with an empty image: the drive is empty all the same. */
export const StickyMediaFault = z.strictObject({ fault: z.literal("sticky-media") });

export function stickyMediaFault(): Fault {
  let wasInserted = false;
  return {
    show: (path, body) => {
      if (!/\/VirtualMedia\/[^/]+$/.test(path)) return body;
      wasInserted ||= body.Inserted === true;
      return wasInserted && body.Inserted !== true ? { ...body, Inserted: true } : body;
    },
  };
}
