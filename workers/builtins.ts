import { createHash } from "node:crypto";
import { copyFile, mkdir, readdir, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import type { Catalogue } from "../src/catalogue/catalogue.js";
import { parseDocuments } from "../src/catalogue/documents.js";
import { Image } from "../src/domain/image.js";
import { type BuiltImage, root } from "./prepare.js";

/** What the recipe says of itself (images/base/README.md). */
interface Manifest {
  arch?: string;
  cmdline?: string[];
}

/**
 * Registers the built-in actions, and the base image when it has been built. What an operator has changed since stays
 * as it is: a name that exists is left alone, but for the base image's own files, which follow the recipe.
 */
export async function registerBuiltins(catalogue: Catalogue, data: string, base: BuiltImage | null): Promise<void> {
  if (base) await catalogue.apply(await adoptImage(base, data));
  const folder = join(root, "images", "actions");
  for (const name of (await readdir(folder)).filter((file) => file.endsWith(".yaml")).sort()) {
    for (const document of parseDocuments(await readFile(join(folder, name), "utf8"), name)) {
      if (!(await catalogue.get(document.kind, document.name))) await catalogue.apply(document);
    }
  }
}

/** Copies the built files below the image folder, where `file:images/…` finds them. */
async function adoptImage(base: BuiltImage, data: string): Promise<Image> {
  const manifest = JSON.parse(await readFile(join(base.folder, "manifest.json"), "utf8")) as Manifest;
  const into = join(data, "images", "base");
  await mkdir(into, { recursive: true });
  const adopt = async (from: string) => {
    const sha256 = createHash("sha256")
      .update(await readFile(from))
      .digest("hex");
    const name = `${sha256.slice(0, 16)}`;
    await copyFile(from, join(into, `${name}.part`));
    await rename(join(into, `${name}.part`), join(into, name));
    return { url: `file:images/base/${name}`, sha256 };
  };
  return Image.parse({
    kind: "Image",
    name: "pitstop-base",
    role: "maintenance",
    arch: manifest.arch ?? "x86_64",
    kernel: await adopt(base.kernel),
    initrds: [await adopt(base.initrd)],
    cmdline: manifest.cmdline ?? [],
  });
}
