import { z } from "zod";
import { Labels, Name, Sha256 } from "./basics.js";

/** Where bytes are stored. `file:images/…` is below `PITSTOP_DATA/images`, which it may not leave. */
export const ImageUrl = z
  .string()
  .max(2048)
  .regex(/^(file:images\/|https:\/\/|http:\/\/)[^\s]+$/, "an image URL begins with file:images/, https:// or http://")
  // The store looks again where links lead; here the one who writes the document is told at once.
  .refine(
    (url) => !url.startsWith("file:") || !url.split(/\/|%2f/i).some((part) => /^(\.|%2e){1,2}$/i.test(part)),
    "a file: URL stays in images/, without . or .. in its path",
  );

export const ImageFile = z.strictObject({ url: ImageUrl, sha256: Sha256 });
export type ImageFile = z.infer<typeof ImageFile>;

/** One word of a kernel command line: printable ASCII without quotes, so that nothing needs escaping. */
export const KernelArg = z
  .string()
  .max(256)
  .regex(/^[A-Za-z0-9_.,:=/@+-]+$/, "a kernel argument is one word of letters, digits and _ . , : = / @ + -");

export const Image = z.strictObject({
  kind: z.literal("Image"),
  name: Name,
  labels: Labels,
  role: z.enum(["maintenance", "normal"]),
  arch: z.enum(["x86_64", "aarch64"]),
  kernel: ImageFile,
  initrds: z.array(ImageFile).min(1).max(8),
  cmdline: z.array(KernelArg).max(64).default([]),
});
export type Image = z.infer<typeof Image>;
