import { createHash, randomBytes, randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";

const Disk = z.object({ machineId: z.string(), bootCount: z.number().int() });

/** What the normal system says of itself, in the form of the QEMU machines' home check. */
export interface HomeFacts {
  machineId: string;
  bootId: string;
  bootCount: number;
  userFileSha256: string;
  hostname: string;
}

/** The normal system of a process machine: a folder that stands for its disk, and keeps what a disk would keep. */
export class NormalSystem {
  readonly #dir: string;
  readonly #hostname: string;
  #disk: z.infer<typeof Disk>;
  #bootId = "";

  private constructor(dir: string, hostname: string, disk: z.infer<typeof Disk>) {
    this.#dir = dir;
    this.#hostname = hostname;
    this.#disk = disk;
  }

  /** Path of the file that a user left there. */
  get userFile(): string {
    return join(this.#dir, "notes.txt");
  }

  static async open(dir: string, hostname: string): Promise<NormalSystem> {
    await mkdir(dir, { recursive: true });
    const file = join(dir, "system.json");
    const disk = existsSync(file)
      ? Disk.parse(JSON.parse(await readFile(file, "utf8")))
      : { machineId: randomBytes(16).toString("hex"), bootCount: 0 };
    const system = new NormalSystem(dir, hostname, disk);
    if (!existsSync(system.userFile)) {
      await writeFile(system.userFile, `Notes of a user on ${hostname}: ${randomUUID()}\n`);
    }
    await system.#save();
    return system;
  }

  /** Counts the boot, on disk, and takes a new boot id. */
  async boot(): Promise<void> {
    this.#disk = { ...this.#disk, bootCount: this.#disk.bootCount + 1 };
    this.#bootId = randomUUID();
    await this.#save();
  }

  /** Read afresh: the answer must show a change of the user's file. */
  async facts(): Promise<HomeFacts> {
    const notes = await readFile(this.userFile);
    return {
      machineId: this.#disk.machineId,
      bootId: this.#bootId,
      bootCount: this.#disk.bootCount,
      userFileSha256: createHash("sha256").update(notes).digest("hex"),
      hostname: this.#hostname,
    };
  }

  async #save(): Promise<void> {
    const file = join(this.#dir, "system.json");
    await writeFile(`${file}.new`, JSON.stringify(this.#disk));
    await rename(`${file}.new`, file);
  }
}
