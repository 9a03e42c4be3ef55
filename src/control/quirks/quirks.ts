import { dellAppliesAndRefuses } from "./dell-applies-and-refuses.js";
import { dellChangedOnly } from "./dell-changed-only.js";
import { dellConflictAfterOff } from "./dell-conflict-after-off.js";
import { hpeEmptyDrive } from "./hpe-empty-drive.js";
import { hpeModeReadOnly } from "./hpe-mode-read-only.js";
import { hpeNoNone } from "./hpe-no-none.js";
import { hpePost } from "./hpe-post.js";
import { lenovoOnceOnly } from "./lenovo-once-only.js";
import { lenovoParentFirst } from "./lenovo-parent-first.js";
import { applies, type Dialect, isMadeBy, type MachineFacts, type Quirk, STANDARD } from "./quirk.js";
import { supermicroFullOverride } from "./supermicro-full-override.js";
import { supermicroImageOnly } from "./supermicro-image-only.js";
import { supermicroPlainUrls } from "./supermicro-plain-urls.js";
import { supermicroUsbCd } from "./supermicro-usb-cd.js";

/** Every quirk known. Two that apply to one machine must not speak of the same field. */
export const QUIRKS: readonly Quirk[] = [
  supermicroFullOverride,
  supermicroUsbCd,
  supermicroImageOnly,
  supermicroPlainUrls,
  dellChangedOnly,
  dellAppliesAndRefuses,
  dellConflictAfterOff,
  hpeNoNone,
  hpeModeReadOnly,
  hpePost,
  hpeEmptyDrive,
  lenovoParentFirst,
  lenovoOnceOnly,
];

/** How this machine wants to be spoken to, and by which quirks. */
export function dialectOf(facts: MachineFacts): { dialect: Dialect; quirks: string[] } {
  const chosen = QUIRKS.filter((quirk) => applies(quirk, facts));
  const dialect: Dialect = Object.assign({}, STANDARD, ...chosen.map((quirk) => quirk.dialect));
  return { dialect, quirks: chosen.map((quirk) => quirk.name) };
}

/** Whether a quirk of this maker depends on the BMC's firmware version, which costs a request. */
export const needsFirmware = (made: Omit<MachineFacts, "firmware">): boolean =>
  QUIRKS.some(({ where }) => where.version !== undefined && isMadeBy(where.maker, made));
