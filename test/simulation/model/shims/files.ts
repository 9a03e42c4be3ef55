import { theWorld } from "../world.js";

const disk = () => theWorld().disk;

/** node:fs/promises of the site's disk; what is asked of it takes a moment, and may fail. */
export const mkdir = (): Promise<void> => disk().work("mkdir", () => undefined);
export const readdir = (folder: string): Promise<string[]> => disk().work("readdir", () => disk().list(folder));
export const rename = (from: string, to: string): Promise<void> => disk().work("rename", () => disk().rename(from, to));
export const rm = (path: string): Promise<void> => disk().work("rm", () => disk().remove(path));
export const stat = (path: string): Promise<{ size: number }> =>
  disk().work("stat", () => ({ size: disk().read(path).length }));

export function readFile(path: string, encoding?: "utf8"): Promise<string | Buffer> {
  return disk().work("read", () => (encoding ? disk().read(path).toString("utf8") : disk().read(path)));
}

export function open(path: string, flags: string) {
  return disk().work("open", () => {
    if (flags !== "r") disk().create(path, flags);
    return {
      writeFile: (bytes: string | Buffer) => disk().work("write", () => disk().append(path, Buffer.from(bytes))),
      sync: () => disk().work("sync", () => disk().sync(path)),
      close: () => disk().work("close", () => undefined),
    };
  });
}

const notSimulated = (): Promise<never> => Promise.reject(new Error("This is not asked of the site's disk here."));

export { notSimulated as mkdtemp, notSimulated as realpath, notSimulated as writeFile };
