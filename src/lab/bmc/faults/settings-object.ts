import { z } from "zod";
import type { Fault } from "./fault.js";

/** Boot is changed through `@Redfish.Settings` (DSP0266 section 9.10) and nowhere else. */
export const SettingsObjectFault = z.strictObject({ fault: z.literal("settings-object") });

export function settingsObjectFault(): Fault {
  return { bootInSettings: true };
}
