import { z } from "zod";
import {
  actionInfo,
  actionParameters,
  type BmcParts,
  collection,
  type Json,
  MANAGER,
  patchOf,
  type Resource,
} from "../resource.js";

const CD = `${MANAGER}/VirtualMedia/Cd`;
const INSERT = `${CD}/Actions/VirtualMedia.InsertMedia`;
const EJECT = `${CD}/Actions/VirtualMedia.EjectMedia`;

/** Streamed, write-protected, inserted at once: what else a client might wish is refused by name. */
const Insert = z.strictObject({
  Image: z.url({ protocol: /^https?$/ }).max(2048),
  Inserted: z.literal(true).optional(),
  WriteProtected: z.literal(true).optional(),
  MediaType: z.enum(["CD", "DVD"]).optional(),
  TransferMethod: z.literal("Stream").optional(),
  TransferProtocolType: z.enum(["HTTP", "HTTPS"]).optional(),
  UserName: z.string().max(256).nullish(),
  Password: z.string().max(1024).nullish(),
});
const Nothing = z.strictObject({});

/** The CD/DVD slot (DSP0268 VirtualMedia). */
export function virtualMediaResources({ media, state }: BmcParts): Resource[] {
  return [
    collection(`${MANAGER}/VirtualMedia`, "VirtualMediaCollection", "Virtual media", () => [CD]),
    {
      path: CD,
      read: () => describe(state.current),
      patch: patchOf(z.strictObject({ VerifyCertificate: z.boolean() }), async ({ VerifyCertificate }) => {
        if (VerifyCertificate !== undefined) await state.update({ verifyCertificate: VerifyCertificate });
      }),
    },
    actionInfo(`${CD}/InsertMediaActionInfo`, "Insert a medium", [
      { Name: "Image", Required: true, DataType: "String" },
      { Name: "Inserted", Required: false, DataType: "Boolean" },
      { Name: "WriteProtected", Required: false, DataType: "Boolean" },
      { Name: "MediaType", Required: false, DataType: "String", AllowableValues: ["CD", "DVD"] },
      { Name: "TransferMethod", Required: false, DataType: "String", AllowableValues: ["Stream"] },
      { Name: "TransferProtocolType", Required: false, DataType: "String", AllowableValues: ["HTTP", "HTTPS"] },
      { Name: "UserName", Required: false, DataType: "String" },
      { Name: "Password", Required: false, DataType: "String" },
    ]),
    {
      path: INSERT,
      post: async (body) => {
        const given = actionParameters("VirtualMedia.InsertMedia", Insert, body);
        await media.insert({
          image: given.Image,
          userName: given.UserName ?? null,
          password: given.Password ?? null,
        });
        return { status: 204 };
      },
    },
    {
      path: EJECT,
      post: async (body) => {
        actionParameters("VirtualMedia.EjectMedia", Nothing, body);
        await media.eject();
        return { status: 204 };
      },
    },
  ];
}

function describe({ medium, verifyCertificate }: BmcParts["state"]["current"]): Json {
  const url = medium ? new URL(medium.image) : null;
  return {
    "@odata.id": CD,
    "@odata.type": "#VirtualMedia.v1_6_3.VirtualMedia",
    Id: "Cd",
    Name: "Virtual CD",
    MediaTypes: ["CD", "DVD"],
    Image: medium?.image ?? null,
    ImageName: url?.pathname.split("/").at(-1) ?? null,
    Inserted: medium !== null,
    WriteProtected: true,
    ConnectedVia: medium ? "URI" : "NotConnected",
    TransferMethod: "Stream",
    TransferProtocolType: url ? (url.protocol === "https:" ? "HTTPS" : "HTTP") : null,
    UserName: medium?.userName ?? null,
    Password: null,
    VerifyCertificate: verifyCertificate,
    Actions: {
      "#VirtualMedia.InsertMedia": { target: INSERT, "@Redfish.ActionInfo": `${CD}/InsertMediaActionInfo` },
      "#VirtualMedia.EjectMedia": { target: EJECT },
    },
  };
}
