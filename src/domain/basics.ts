import { z } from "zod";

/** Names of targets, images, actions and sites: DNS labels and dots, so that they fit ids, paths and URLs unescaped. */
export const Name = z
  .string()
  .max(63, "a name has at most 63 characters")
  .regex(
    /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/,
    "a name is lower-case letters, digits, '-' and '.', and starts and ends with a letter or digit",
  );

const labelText = /^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$/;
export const Labels = z
  .record(z.string().regex(labelText, "a label key is letters, digits, '.', '_', '/' and '-'"), z.string().max(63))
  .default({});

/** A SHA-256 digest as 64 lower-case hexadecimal digits. */
export const Sha256 = z
  .string()
  .transform((text) => text.toLowerCase().replace(/^sha256:/, ""))
  .pipe(z.string().regex(/^[0-9a-f]{64}$/, "a sha256 is 64 hexadecimal digits"));

/** A MAC address, kept in lower case with colons. */
export const Mac = z
  .string()
  .transform((text) => text.toLowerCase().replaceAll("-", ":"))
  .pipe(z.string().regex(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/, "a MAC address is six pairs of hexadecimal digits"));

/** A UUID in lower case. `usableUuid` says what it is worth; the nil and the all-ones UUID are refused at once. */
export const Uuid = z
  .string()
  .transform((text) => text.toLowerCase())
  .pipe(
    z
      .string()
      .regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, "a UUID is 8-4-4-4-12 hexadecimal digits")
      .refine((u) => !/^[0-]+$/.test(u) && !/^[f-]+$/.test(u), "a UUID of only zeros or only Fs identifies no machine"),
  );

const unitMs: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const durationText = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/;

/** A duration such as `90s`, `10m`, `2h`; at most 30 days. */
export const Duration = z
  .string()
  // What is none has no length that could be compared.
  .regex(durationText, { error: "a duration is a number and ms, s, m, h or d, for example 90s or 10m", abort: true })
  .refine((text) => durationMs(text) <= 30 * 86_400_000, "a duration is at most 30d");

/** Milliseconds of a {@link Duration}. The text must be valid. */
export function durationMs(text: string): number {
  const match = durationText.exec(text);
  if (!match) throw new RangeError(`not a duration: ${text}`);
  return Math.round(Number(match[1]) * (unitMs[match[2] as string] as number));
}

/**
 * Where a secret is found; the secret itself is never in a document, a history or a log.
 * Each form yields `user:password` (the first colon divides).
 */
export const CredentialRef = z.union([
  z.strictObject({ env: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "an environment variable's name") }),
  z.strictObject({ file: z.string().min(1).max(1024) }),
  z.strictObject({ exec: z.array(z.string()).min(1).max(64) }),
]);
export type CredentialRef = z.infer<typeof CredentialRef>;

/** How a BMC's or a web server's certificate is verified. Nothing given: the system's CAs. */
export const TlsTrust = z.strictObject({
  /** SHA-256 fingerprint of the leaf certificate, pairs of hexadecimal digits with colons. */
  fingerprint256: z
    .string()
    .transform((t) => t.toUpperCase())
    .pipe(
      z.string().regex(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/, "a SHA-256 fingerprint is 32 pairs of hex digits with ':'"),
    )
    .optional(),
  /** Path of a PEM file with the CA. */
  ca: z.string().optional(),
  /** Verify nothing. The session's record says so. */
  insecure: z.boolean().optional(),
});
export type TlsTrust = z.infer<typeof TlsTrust>;

export const HttpUrl = z
  .string()
  .max(2048)
  .refine((text) => {
    try {
      const url = new URL(text);
      return (url.protocol === "http:" || url.protocol === "https:") && url.username === "" && url.password === "";
    } catch {
      return false;
    }
  }, "an http:// or https:// URL without a user or password in it");
