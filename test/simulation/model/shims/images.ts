import { join } from "node:path";
import type { SessionPlan } from "../../../../src/domain/session.js";

/** The image cache: everything is there. What fetching images can do wrong is tested where it is done. */
export class ImageCache {
  static async open(): Promise<ImageCache> {
    return new ImageCache();
  }
  async ensure(): Promise<number> {
    return 0;
  }
  async has(): Promise<boolean> {
    return true;
  }
}

const part = (offset: number) => ({ offset, bytes: 65_536 });
const MADE = { sha256: "e".repeat(64), slot: part(0), kernel: part(65_536), lastInitrd: part(131_072) };

export class Media {
  static async open(): Promise<Media> {
    return new Media();
  }
  async ensure(): Promise<typeof MADE> {
    return MADE;
  }
  digestFor({ image }: SessionPlan): string | null {
    return image === null ? null : MADE.sha256;
  }
}

export const ensureTls = async () => ({ key: "", certificate: "", ca: "CA\n", pin: "sha256//pin" });
export const siteNames = (): string[] => [];
export const dataFolder = (config: { PITSTOP_DATA: string }, ...parts: string[]): string =>
  join(config.PITSTOP_DATA, ...parts);
