import { PitstopError } from "../../domain/errors.js";

/**
 * The variable store in OVMF's VARS file: a firmware volume (UEFI PI 1.8, volume 3, section 3.2.1) that begins with
 * EDK II's authenticated variable store (MdeModulePkg/Include/Guid/VariableFormat.h). All numbers are little-endian.
 */

/** gEfiAuthenticatedVariableGuid, aaf32c78-947b-439a-a180-2e144ec37792, as it lies in memory. */
const STORE_GUID = Buffer.from("782cf3aa7b949a43a1802e144ec37792", "hex");
/** EFI_GLOBAL_VARIABLE, 8be4df61-93ca-11d2-aa0d-00e098032b8c: whose variables BootOrder and Boot#### are. */
const GLOBAL_VENDOR = "61dfe48bca93d211aa0d00e098032b8c";

const STORE_HEADER_BYTES = 28;
const VARIABLE_HEADER_BYTES = 60;
const START_ID = 0x55aa;
const ADDED = 0x3f;
/** Being replaced: counts only where the replacement was not written to its end. */
const ADDED_IN_DELETED_TRANSITION = 0x3e;
/** Non-volatile, boot service access, runtime access. */
const BOOT_ATTRIBUTES = 7;

interface Variable {
  header: Buffer;
  name: string;
  vendor: string;
  data: Buffer;
}

/** The variables of one VARS file, read and changed in memory. */
export class VariableStore {
  readonly #image: Buffer;
  readonly #start: number;
  readonly #end: number;
  #variables: Variable[];

  /** `invalid` when the bytes are not such a file, or are just being rewritten by a running firmware. */
  constructor(image: Buffer) {
    const headerBytes = image.length >= 64 ? image.readUInt16LE(48) : 0;
    if (image.toString("latin1", 40, 44) !== "_FVH" || !image.subarray(headerBytes).subarray(0, 16).equals(STORE_GUID))
      throw new PitstopError("invalid", "This is not a UEFI variable store of OVMF.");
    this.#image = image;
    this.#start = headerBytes + STORE_HEADER_BYTES;
    this.#end = Math.min(image.length, headerBytes + image.readUInt32LE(headerBytes + 16));
    this.#variables = this.#read();
  }

  get(name: string): Buffer | null {
    return this.#find(name)?.data ?? null;
  }

  /** Names of global variables, in the order in which they lie in the store. */
  names(): string[] {
    return this.#variables.filter((v) => v.vendor === GLOBAL_VENDOR).map((v) => v.name);
  }

  set(name: string, data: Buffer): void {
    const existing = this.#find(name);
    if (existing) existing.data = data;
    else this.#variables.push({ header: newHeader(), name, vendor: GLOBAL_VENDOR, data });
  }

  delete(name: string): void {
    this.#variables = this.#variables.filter((v) => v.vendor !== GLOBAL_VENDOR || v.name !== name);
  }

  /** The whole file with these variables, packed as after the firmware's own garbage collection. */
  toBuffer(): Buffer {
    const image = Buffer.from(this.#image);
    image.fill(0xff, this.#start, this.#end);
    let at = this.#start;
    for (const variable of this.#variables) {
      const bytes = encode(variable);
      if (at + bytes.length > this.#end) throw new PitstopError("refused", "The UEFI variable store is full.");
      bytes.copy(image, at);
      at = align(at + bytes.length);
    }
    return image;
  }

  #find(name: string): Variable | undefined {
    return this.#variables.find((v) => v.vendor === GLOBAL_VENDOR && v.name === name);
  }

  #read(): Variable[] {
    const added = new Map<string, Variable>();
    const replaced = new Map<string, Variable>();
    let at = this.#start;
    while (at + VARIABLE_HEADER_BYTES <= this.#end && this.#image.readUInt16LE(at) === START_ID) {
      const header = this.#image.subarray(at, at + VARIABLE_HEADER_BYTES);
      const nameBytes = header.readUInt32LE(36);
      const dataBytes = header.readUInt32LE(40);
      const nameAt = at + VARIABLE_HEADER_BYTES;
      const dataAt = nameAt + nameBytes;
      // A header whose sizes leave the store was not written to its end: what follows it is not a variable either.
      if (nameBytes > this.#end || dataBytes > this.#end || dataAt + dataBytes > this.#end) break;
      const variable = {
        header: Buffer.from(header),
        name: this.#image.toString("utf16le", nameAt, Math.max(nameAt, dataAt - 2)),
        vendor: header.toString("hex", 44, 60),
        data: Buffer.from(this.#image.subarray(dataAt, dataAt + dataBytes)),
      };
      const state = header.readUInt8(2);
      const key = `${variable.vendor} ${variable.name}`;
      if (state === ADDED) added.set(key, variable);
      else if (state === ADDED_IN_DELETED_TRANSITION) replaced.set(key, variable);
      at = align(dataAt + dataBytes);
    }
    for (const [key, variable] of replaced) if (!added.has(key)) added.set(key, variable);
    return [...added.values()];
  }
}

function encode(variable: Variable): Buffer {
  const name = Buffer.from(`${variable.name}\0`, "utf16le");
  const header = Buffer.from(variable.header);
  header.writeUInt8(ADDED, 2);
  header.writeUInt32LE(name.length, 36);
  header.writeUInt32LE(variable.data.length, 40);
  return Buffer.concat([header, name, variable.data]);
}

function newHeader(): Buffer {
  const header = Buffer.alloc(VARIABLE_HEADER_BYTES);
  header.writeUInt16LE(START_ID, 0);
  header.writeUInt32LE(BOOT_ATTRIBUTES, 4);
  Buffer.from(GLOBAL_VENDOR, "hex").copy(header, 44);
  return header;
}

const align = (offset: number): number => (offset + 3) & ~3;
