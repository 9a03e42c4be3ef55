import { existsSync } from "node:fs";
import { mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { z } from "zod";
import { PitstopError } from "../../domain/errors.js";

export const OVERRIDE_TARGETS = ["None", "Pxe", "Hdd", "Cd", "UefiHttp"] as const;

/** ComputerSystem.Boot's override (DSP0268), without its mode: the lab's machines have one firmware each. */
export const Override = z.object({
  enabled: z.enum(["Disabled", "Once", "Continuous"]),
  target: z.enum(OVERRIDE_TARGETS),
  httpBootUri: z.string().nullable(),
});
export type Override = z.infer<typeof Override>;
export const NO_OVERRIDE: Override = { enabled: "Disabled", target: "None", httpBootUri: null };

export const Medium = z.object({
  image: z.string(),
  /** Where its bytes are kept. */
  file: z.string(),
  userName: z.string().nullable(),
});
export type Medium = z.infer<typeof Medium>;

/** What a BMC remembers when its own power fails: everything that a client set. Sessions are not among it. */
export const BmcState = z.object({
  override: Override,
  medium: Medium.nullable(),
  verifyCertificate: z.boolean(),
  powerRestorePolicy: z.enum(["AlwaysOn", "AlwaysOff", "LastState"]),
  /** The last power state that was wanted, for `LastState`. */
  wasOn: z.boolean(),
  sessionTimeoutSeconds: z.number(),
  assetTag: z.string(),
});
export type BmcState = z.infer<typeof BmcState>;

/** One JSON file, replaced atomically and fsynced before {@link BmcStateFile.update} resolves. */
export class BmcStateFile {
  readonly #file: string;
  #current: BmcState;
  #writing: Promise<void> = Promise.resolve();

  private constructor(file: string, current: BmcState) {
    this.#file = file;
    this.#current = current;
  }

  static async open(file: string, fresh: BmcState): Promise<BmcStateFile> {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    if (!existsSync(file)) {
      const made = new BmcStateFile(file, fresh);
      await made.update({});
      return made;
    }
    const parsed = BmcState.safeParse(JSON.parse(await readFile(file, "utf8")));
    if (!parsed.success) {
      throw new PitstopError("internal", `The lab's file ${file} is damaged; remove it to begin with a fresh BMC.`);
    }
    return new BmcStateFile(file, parsed.data);
  }

  get current(): BmcState {
    return this.#current;
  }

  /** Visible at once; on disk when the promise resolves. Writes follow one another. */
  update(change: Partial<BmcState>): Promise<void> {
    this.#current = { ...this.#current, ...change };
    this.#writing = this.#writing.then(
      () => this.#write(),
      () => this.#write(),
    );
    return this.#writing;
  }

  async #write(): Promise<void> {
    const temporary = `${this.#file}.new`;
    const handle = await open(temporary, "w", 0o600);
    try {
      await handle.writeFile(JSON.stringify(this.#current, null, 2));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, this.#file);
    const folder = await open(dirname(this.#file), "r");
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }
}
