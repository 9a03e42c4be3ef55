import { z } from "zod";
import type { JsonObject } from "../json.js";

/**
 * The parts of Redfish resources (DSP0268) that Pitstop reads. Tolerant: whatever a BMC leaves out or gets wrong
 * reads as null or empty, so that a strange property never stops a restore; what is needed is demanded where it is.
 */
const text = z.string().max(4096).nullable().catch(null);
/** RFC 9110, section 8.8.3. It goes back in a header, so one with a blank or a control character is taken as none. */
const entityTag = z
  .string()
  .max(256)
  .regex(/^[!-~]+$/)
  .nullable()
  .catch(null);
const flag = z.boolean().nullable().catch(null);
const linkText = z.object({ "@odata.id": z.string().min(1).max(2048) }).transform((l) => l["@odata.id"]);
const link = linkText.nullable().catch(null);
const MAX_LIST = 256;

/** Null where there is no list; entries of another form are left out. */
const list = <T extends z.ZodType>(item: T) =>
  z
    .array(item.nullable().catch(null))
    .max(MAX_LIST)
    .transform((all) => all.filter((one): one is Exclude<typeof one, null> => one !== null))
    .nullable()
    .catch(null);

const texts = list(z.string().max(1024));
/** A missing list of allowable values says nothing; an empty one would forbid everything. */
const allowable = z.array(z.string().max(256)).min(1).max(MAX_LIST).nullable().catch(null);

const section = <T extends z.ZodRawShape>(shape: T) => {
  const object = z.object(shape);
  return object.catch(() => object.parse({}));
};

export const ServiceRoot = z.object({
  UUID: text,
  Vendor: text,
  Product: text,
  Systems: link,
  Managers: link,
  SessionService: link,
  Links: section({ Sessions: link }),
  Oem: z.record(z.string(), z.unknown()).catch({}),
  ProtocolFeaturesSupported: section({
    ExpandQuery: section({ NoLinks: flag, ExpandAll: flag, Levels: flag }),
  }),
});
export type ServiceRoot = z.infer<typeof ServiceRoot>;

const BootFields = section({
  BootSourceOverrideEnabled: text,
  BootSourceOverrideTarget: text,
  BootSourceOverrideMode: text,
  HttpBootUri: text,
  BootOrder: texts,
  BootOptions: link,
  "BootSourceOverrideTarget@Redfish.AllowableValues": allowable,
  "BootSourceOverrideEnabled@Redfish.AllowableValues": allowable,
  "BootSourceOverrideMode@Redfish.AllowableValues": allowable,
});

/**
 * DSP0268 ComputerSystem.Boot; also found in a settings resource. `raw` keeps what the service showed: presence of a property says
 * that it can be written, and a form that has no meaning is told as unreadable.
 */
export const Boot = z
  .unknown()
  .prefault(null)
  .transform((given) => ({
    ...BootFields.parse(given),
    raw: given as unknown,
  }));
export type Boot = z.infer<typeof Boot>;

export const System = z.object({
  "@odata.id": text,
  "@odata.etag": entityTag,
  Id: text,
  UUID: text,
  Manufacturer: text,
  Model: text,
  PowerState: text,
  Boot,
  BootProgress: section({ LastState: text }),
  SecureBoot: link,
  VirtualMedia: link,
  EthernetInterfaces: link,
  Links: section({ ManagedBy: list(linkText) }),
  Actions: section({
    "#ComputerSystem.Reset": section({
      target: text,
      "ResetType@Redfish.AllowableValues": allowable,
      "@Redfish.ActionInfo": text,
    }),
  }),
  "@Redfish.Settings": section({ SettingsObject: link }),
});
export type System = z.infer<typeof System>;

export const SettingsResource = z.object({ "@odata.etag": entityTag, Boot });

/** `Members` is null where the service shows no list. */
export const Collection = z.object({
  Members: list(z.record(z.string(), z.unknown())),
  "Members@odata.nextLink": text,
});

export const BootOption = z.object({
  BootOptionReference: text,
  Id: text,
  DisplayName: text,
  Name: text,
  UefiDevicePath: text,
});

export const Manager = z.object({ VirtualMedia: link, FirmwareVersion: text });

/** DSP0268 Task; a task monitor answers with it too, or with nothing while the task runs. */
export const Task = z.object({ TaskState: text, Messages: z.unknown().prefault(null) });

export const EthernetInterface = z.object({ MACAddress: text, PermanentMACAddress: text });

export const VirtualMedia = z.object({
  "@odata.id": text,
  "@odata.etag": entityTag,
  MediaTypes: texts,
  Image: text,
  Inserted: flag,
  ConnectedVia: text,
  VerifyCertificate: flag,
  Actions: section({
    "#VirtualMedia.InsertMedia": section({ target: text }),
    "#VirtualMedia.EjectMedia": section({ target: text }),
  }),
});
export type VirtualMedia = z.infer<typeof VirtualMedia>;

export const ActionInfo = z.object({
  Parameters: list(z.object({ Name: text, AllowableValues: allowable })),
});

export const entityTagOf = (given: unknown): string | null => entityTag.parse(given ?? null);

export const linkOf = (member: JsonObject): string | null => link.parse(member);

/** `idOf` cuts the Id from a link; a link may end in a slash. */
export const idOf = (given: string): string => decoded(given.split("/").filter(Boolean).at(-1) ?? "");

/** Two links to one resource may differ in a slash at the end. */
export const sameLink = (a: string, b: string): boolean => a.replace(/\/+$/, "") === b.replace(/\/+$/, "");

/** An Id as its link has it; where its escapes are none, the text is the Id. */
function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
