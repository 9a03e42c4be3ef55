import { z } from "zod";
import { CredentialRef, Duration, HttpUrl, Labels, Mac, Name, TlsTrust, Uuid } from "./basics.js";
import { usableUuid } from "./machine-identity.js";

/** DSP0266 (Redfish): `url` is the service's origin, `system` the Id of the ComputerSystem (default: the only one). */
export const RedfishControl = z.strictObject({
  redfish: z.strictObject({
    url: HttpUrl,
    system: z.string().min(1).max(128).optional(),
    credentials: CredentialRef,
    tls: TlsTrust.default({}),
  }),
});
export type RedfishControl = z.infer<typeof RedfishControl>;

/** Kept in the catalogue; not yet driven, and a target must also name a control that is. */
export const IpmiControl = z.strictObject({
  ipmi: z.strictObject({ host: z.string().min(1).max(253), credentials: CredentialRef }),
});

export const Control = z.union([RedfishControl, IpmiControl]);

/**
 * How the boot image reaches the target (docs/boot-paths.md); src/ways has one file for each. `virtual-media`: an ISO that the BMC
 * fetches from the site and shows as a CD, so that nothing of the target's own network is trusted.
 */
export const BootVia = z.enum(["uefi-http", "pxe", "virtual-media"]);
export type BootVia = z.infer<typeof BootVia>;

/** `exit` and `sanboot` are BIOS ways home; UEFI goes home by `exit 1` or 404 (a plain `exit` opens its setup screen). */
export const HomeWay = z.enum(["exit", "sanboot", "exit-1", "404"]);
export type HomeWay = z.infer<typeof HomeWay>;

export const TargetBoot = z
  .strictObject({
    firmware: z.enum(["uefi", "bios"]),
    /** In the order in which they are tried: a way that gets no contact gives way to the next. */
    via: z.array(BootVia).min(1),
    /** How iPXE sends this target to its disk. Default: `exit-1` under UEFI, `exit` under BIOS. */
    home: HomeWay.optional(),
    /**
     * Things that are refused unless the target's owner opts in. `network-first-order`: the machine has no boot override, its
     * boot order asks the network first, and the boot server alone decides what it boots.
     */
    allow: z.array(z.enum(["destructive-over-lan", "continuous-override", "network-first-order"])).default([]),
  })
  .refine((b) => !(b.firmware === "uefi" && (b.home === "exit" || b.home === "sanboot")), {
    message: "under UEFI the way home is exit-1 or 404: a plain exit opens the firmware's setup screen",
    path: ["home"],
  })
  .refine((b) => !(b.firmware === "bios" && b.via.includes("uefi-http")), {
    message: "uefi-http needs firmware: uefi",
    path: ["via"],
  });

/**
 * How the target's own system proves that it runs again.
 * `http` is strong proof where the answer is JSON with `machineId` and `bootId`; else it is weak and the record says so.
 * `tcp` (a port that accepts) is always weak.
 */
export const HomeCheck = z.union([
  z.strictObject({
    http: z.strictObject({
      url: HttpUrl,
      contains: z.string().min(1).max(1024).optional(),
      tls: TlsTrust.default({}),
    }),
  }),
  z.strictObject({
    ssh: z.strictObject({
      host: z.string().min(1).max(253),
      port: z.number().int().min(1).max(65535).default(22),
      user: z
        .string()
        .regex(/^[a-z_][a-z0-9_-]{0,31}$/)
        .default("root"),
      hostKey: z.string().regex(/^SHA256:[A-Za-z0-9+/]{43}$/, "a host key is SHA256: and 43 base64 characters"),
      /** Path of the private key on the site. */
      key: z.string().max(1024).optional(),
      newBootId: z.boolean().default(true),
    }),
  }),
  z.strictObject({
    tcp: z.strictObject({ host: z.string().min(1).max(253), port: z.number().int().min(1).max(65535) }),
  }),
]);
export type HomeCheck = z.infer<typeof HomeCheck>;

export const Target = z.strictObject({
  kind: z.literal("Target"),
  name: Name,
  labels: Labels,
  site: Name.default("default"),
  identity: z
    .strictObject({ uuid: Uuid.optional(), macs: z.array(Mac).max(64).default([]) })
    .refine(
      (i) => usableUuid(i.uuid) !== null || i.macs.length > 0,
      "an identity needs a uuid of its own or at least one MAC address: many boards share a placeholder uuid",
    ),
  control: z
    .array(Control)
    .min(1)
    .max(8)
    .refine((list) => list.some((c) => "redfish" in c), "name a redfish control: the others are not driven yet"),
  boot: TargetBoot,
  shutdown: z
    .strictObject({ graceful: Duration.default("180s"), then: z.enum(["abort", "force"]).default("abort") })
    .default({ graceful: "180s", then: "abort" }),
  normal: z.strictObject({ disk: z.literal(true) }).default({ disk: true }),
  home: z.array(HomeCheck).min(1, "name at least one home check: home is proved, not assumed").max(8),
});
export type Target = z.infer<typeof Target>;
