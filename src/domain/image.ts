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

/** What an image can consist of. A boot way says which of these it boots (src/ways). */
export const IMAGE_FORMS = ["linux", "uki", "iso", "program"] as const;
export type ImageForm = (typeof IMAGE_FORMS)[number];

/** A kernel with its initrds: the form of a document that names none. */
export const LinuxImage = z.strictObject({
  kind: z.literal("Image"),
  name: Name,
  labels: Labels,
  role: z.enum(["maintenance", "normal"]),
  arch: z.enum(["x86_64", "aarch64"]),
  form: z.literal("linux").optional().default("linux"),
  kernel: ImageFile,
  initrds: z.array(ImageFile).min(1).max(8),
  cmdline: z.array(KernelArg).max(64).default([]),
});
export type LinuxImage = z.infer<typeof LinuxImage>;

/** A form that has a name and no way: every document of it is refused, whatever else it says. */
const notYetBooted = <F extends ImageForm>(form: F, what: string) =>
  z.looseObject({ kind: z.literal("Image"), form: z.literal(form) }).refine(() => false, {
    message: `${what} is not yet booted; give kernel and initrds`,
    path: ["form"],
  });

const EveryForm = z.discriminatedUnion("form", [
  LinuxImage,
  notYetBooted("uki", "a unified kernel image"),
  notYetBooted("iso", "an ISO"),
  notYetBooted("program", "an EFI or BIOS program"),
]);

/** An image by its form. No document of a form that is not yet booted passes, so the type has none of them. */
export const Image = EveryForm as unknown as z.ZodDiscriminatedUnion<[typeof LinuxImage], "form">;
export type Image = z.infer<typeof Image>;
