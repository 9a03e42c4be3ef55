import { dirname } from "node:path";
import { outside } from "./clock.js";
import type { Random } from "./random.js";

interface File {
  bytes: Buffer;
  synced: Buffer;
}

export interface DiskFaults {
  /** What this operation fails with; null: it goes through. */
  diskFault(operation: string): string | null;
}

/**
 * The site's disk. A process that dies loses nothing that it wrote; a host that loses its power keeps what was synced,
 * and of the rest a part by chance: file's bytes by the file's sync, names by their folder's.
 */
export class Disk {
  private files = new Map<string, File>();
  private durable = new Map<string, File>();

  constructor(
    private readonly random: Random,
    private readonly faults: DiskFaults,
  ) {}

  work<T>(operation: string, act: () => T): Promise<T> {
    return outside(0.2, () => {
      const code = this.faults.diskFault(operation);
      if (code) throw Object.assign(new Error(`${code}: the disk failed at ${operation}`), { code });
      return act();
    });
  }

  list(folder: string): string[] {
    const names = [...this.files.keys()].filter((path) => dirname(path) === folder);
    return names.map((path) => path.slice(folder.length + 1));
  }

  read(path: string): Buffer {
    return this.find(path).bytes;
  }

  create(path: string, flags: string): void {
    if (flags === "a" && this.files.has(path)) return;
    this.files.set(path, { bytes: Buffer.alloc(0), synced: Buffer.alloc(0) });
  }

  append(path: string, bytes: Buffer): void {
    const file = this.find(path);
    file.bytes = Buffer.concat([file.bytes, bytes]);
  }

  sync(path: string): void {
    const file = this.files.get(path);
    if (file) {
      file.synced = file.bytes;
      return;
    }
    for (const name of new Set([...this.files.keys(), ...this.durable.keys()])) {
      if (dirname(name) === path) this.keepName(name);
    }
  }

  rename(from: string, to: string): void {
    const file = this.find(from);
    this.files.delete(from);
    this.files.set(to, file);
  }

  remove(path: string): void {
    for (const name of [...this.files.keys()])
      if (name === path || name.startsWith(`${path}/`)) this.files.delete(name);
  }

  /** What is on the disk for good: the text that a reader would find after a loss of power, at the worst. */
  durableText(path: string): string | null {
    return this.durable.get(path)?.synced.toString("utf8") ?? null;
  }

  /** Everything that was ever written and is still there, for the search for secrets. */
  allText(): string {
    return [...this.files.values()].map((file) => file.bytes.toString("latin1")).join("\n");
  }

  losePower(): void {
    const names = [...new Set([...this.files.keys(), ...this.durable.keys()])].sort();
    for (const name of names) if (this.random.chance(0.5)) this.keepName(name);
    this.files = new Map();
    for (const [name, file] of this.durable) {
      const tail = file.bytes.subarray(file.synced.length);
      const kept = file.bytes === file.synced ? 0 : this.random.whole(0, tail.length);
      const bytes = Buffer.concat([file.synced, tail.subarray(0, kept)]);
      this.files.set(name, { bytes, synced: bytes });
    }
    this.durable = new Map(this.files);
  }

  /** Somebody removed the site's folder, or its disk was replaced. */
  lose(folder: string): void {
    for (const name of [...this.files.keys()]) {
      if (!name.startsWith(`${folder}/`)) continue;
      this.files.delete(name);
      this.durable.delete(name);
    }
  }

  private keepName(name: string): void {
    const file = this.files.get(name);
    if (file) this.durable.set(name, file);
    else this.durable.delete(name);
  }

  private find(path: string): File {
    const file = this.files.get(path);
    if (file) return file;
    throw Object.assign(new Error(`ENOENT: ${path}`), { code: "ENOENT" });
  }
}
