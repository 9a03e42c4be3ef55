import { createHash } from "node:crypto";
import { open, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { PitstopError } from "../domain/errors.js";
import type { Image } from "../domain/image.js";
import type { SessionPlan } from "../domain/session.js";
import { ImageMedium } from "../site/entry.js";
import { ensureFolder, UNFINISHED, unfinishedPath, writeAtomically } from "../stores/atomic.js";
import { withPanicReboot } from "./boot-script.js";
import type { ImageCache } from "./cache.js";
import { buildIso, initrdName, isoRecipe, KERNEL_NAME, requireFits, SLOT_BYTES, SLOT_NAME } from "./iso-build.js";
import { type Extent, isoFiles } from "./iso-files.js";

export interface MediaOptions {
  /** For what was made, by image; the ISOs themselves are in the cache. On the same file system as the cache. */
  folder: string;
  cache: ImageCache;
  /** Folder with GRUB's platforms, `i386-pc` and `x86_64-efi`. */
  grubFolder: string;
}

/** Longer than the slowest build; a caller may end it sooner. */
const BUILD_MS = 30 * 60_000;

/** The media of images: one ISO for each image, made once and shared by all targets that boot it. */
export class Media {
  readonly #options: MediaOptions;
  /** By image and tools. */
  readonly #made = new Map<string, ImageMedium>();
  /** Digest of the newest ISO of each image: the cache must keep it between staging and arming. */
  readonly #current = new Map<string, string>();
  readonly #building = new Map<string, Promise<ImageMedium>>();

  private constructor(options: MediaOptions) {
    this.#options = options;
  }

  /** Loads what an earlier process made. Forgets what is unfinished, damaged, or gone from the cache. */
  static async open(options: MediaOptions): Promise<Media> {
    await ensureFolder(options.folder);
    const media = new Media(options);
    for (const name of await readdir(options.folder)) {
      const path = join(options.folder, name);
      const key = /^([0-9a-f]{64})\.json$/.exec(name)?.[1];
      const made = key ? await readMade(path) : null;
      if (key && made && (await options.cache.has(made.sha256))) media.#made.set(key, made);
      else if (key || name.startsWith(UNFINISHED)) await rm(path, { recursive: true, force: true });
    }
    return media;
  }

  /** Ensures the ISO of the plan's image, whose files are staged. `refused` where this site cannot make it. */
  async ensure(plan: SessionPlan, signal: AbortSignal = AbortSignal.timeout(BUILD_MS)): Promise<ImageMedium> {
    const image = bootable(plan);
    const key = digestOf([await isoRecipe(this.#options.grubFolder), imageKey(image)]);
    // Waits for the build that another session began. Where that session gave it up, builds anew.
    for (;;) {
      const building = this.#building.get(key);
      if (!building) break;
      await building.catch(() => null);
      signal.throwIfAborted();
    }
    const work = this.#ensure(key, image, signal).finally(() => this.#building.delete(key));
    this.#building.set(key, work);
    const made = await work;
    this.#current.set(imageKey(image), made.sha256);
    return made;
  }

  /** The digest of the ISO that was made last for the plan's image by this process, if one was. */
  digestFor({ image }: SessionPlan): string | null {
    return image === null ? null : (this.#current.get(imageKey(image)) ?? null);
  }

  async #ensure(key: string, image: Image, signal: AbortSignal): Promise<ImageMedium> {
    const known = this.#made.get(key);
    if (known && (await this.#options.cache.isThere(known.sha256))) return known;
    const made = await this.#build(image, signal);
    await writeAtomically(this.#path(key), (handle) => handle.writeFile(`${JSON.stringify(made)}\n`));
    this.#made.set(key, made);
    await this.#forgetEvicted();
    return made;
  }

  async #build(image: Image, signal: AbortSignal): Promise<ImageMedium> {
    const { cache, folder, grubFolder } = this.#options;
    const work = await ensureFolder(unfinishedPath(join(folder, "medium")));
    try {
      const [kernel = "", ...initrds] = await Promise.all(
        [image.kernel, ...image.initrds].map((file) => this.#verified(image.name, file.sha256)),
      );
      const out = join(work, "medium.iso");
      await buildIso({ kernel, initrds, args: withPanicReboot(image.cmdline) }, { out, work, grubFolder }, signal);
      const parts = await partsOf(out, image.initrds.length);
      return { sha256: await cache.adopt(out), ...parts };
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  }

  async #verified(imageName: string, sha256: string): Promise<string> {
    const file = await this.#options.cache.openFile(sha256);
    await file.handle.close();
    requireFits(imageName, file.bytes);
    return file.path;
  }

  /** Keeps the index as small as the cache: an ISO that was evicted has no use for its entry. */
  async #forgetEvicted(): Promise<void> {
    for (const [key, made] of this.#made) {
      if (await this.#options.cache.has(made.sha256)) continue;
      this.#made.delete(key);
      await rm(this.#path(key), { force: true });
    }
  }

  #path(key: string): string {
    return join(this.#options.folder, `${key}.json`);
  }
}

function bootable(plan: SessionPlan): Image {
  const { image, target } = plan;
  if (image === null)
    throw new PitstopError("invalid", `The session of ${target.name} boots no image: it needs no medium.`);
  if (image.arch === "x86_64") return image;
  throw new PitstopError(
    "refused",
    `Media are made for x86_64 only, and ${image.name} is for ${image.arch}; name another way in boot.via of ${target.name}.`,
  );
}

const digestOf = (parts: string[]): string => createHash("sha256").update(parts.join("\0")).digest("hex");

const imageKey = (image: Image): string =>
  digestOf([image.kernel.sha256, ...image.initrds.map((file) => file.sha256), ...withPanicReboot(image.cmdline)]);

async function readMade(path: string): Promise<ImageMedium | null> {
  try {
    return ImageMedium.parse(JSON.parse(await readFile(path, "utf8")));
  } catch {
    return null;
  }
}

async function partsOf(iso: string, initrds: number): Promise<Omit<ImageMedium, "sha256">> {
  const handle = await open(iso, "r");
  try {
    const files = await isoFiles(handle);
    const part = (name: string): Extent => {
      const found = files.get(name);
      if (found) return found;
      throw new PitstopError("internal", `The medium that was made has no ${name}.`);
    };
    const slot = part(SLOT_NAME);
    if (slot.bytes !== SLOT_BYTES) throw new PitstopError("internal", "The medium's slot has another size.");
    return { slot, kernel: part(KERNEL_NAME), lastInitrd: part(initrdName(initrds - 1)) };
  } finally {
    await handle.close();
  }
}
