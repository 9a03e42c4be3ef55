import { connect, type Socket } from "node:net";

/** `cli; jmp .` of x86: this processor takes no interrupt and never comes back. */
const HANG = "faebfe";
/** `ud2` of x86. */
const INVALID = "0f0b";
/** Offsets in the answer to `g` of an x86-64 stub: 16 registers of 8 bytes, then RIP, EFLAGS and CS of 8, 4 and 4 bytes. */
const RIP = 16 * 16;
const CS = RIP + 16 + 8;
const TRIES = 100;
/** Long enough for an emulated processor to come far, wherever a short step would leave it where it stood. */
const MOMENT_MS = 337;
const STOPPED = /^[TS]/;

/** Makes a guest's only processor hang in its kernel, interrupts off, through the GDB stub of a QEMU with `-gdb tcp:...`. */
export const hangKernel = (port: number): Promise<void> => writeInKernel(port, (rip) => rip, HANG);

/** Who next comes to this address of the guest's kernel, 16 digits of hex, meets an instruction that there is not. */
export const plantInvalid = (port: number, address: string): Promise<void> =>
  writeInKernel(port, () => address, INVALID);

/** Only while the guest is in its kernel: what is mapped there, user space may not have. */
async function writeInKernel(port: number, where: (rip: string) => string, code: string): Promise<void> {
  const stub = await Stub.open(port);
  for (let tries = 0; tries < TRIES; tries++) {
    const registers = await stub.ask("g", /^[0-9a-fx]{300,}$/);
    const inKernel = (Number.parseInt(registers.slice(CS, CS + 2), 16) & 3) === 0;
    const rip = (registers.slice(RIP, RIP + 16).match(/../g) ?? []).reverse().join("");
    if (inKernel && rip.startsWith("ffff")) {
      const said = await stub.ask(`M${where(rip)},${code.length / 2}:${code}`, /^(OK|E..)$/);
      if (said !== "OK") throw new Error(`the stub did not write: ${said}`);
      await stub.ask("D", /^OK$/);
      stub.close();
      return;
    }
    // In user space: on, for a moment, and stopped again.
    stub.send("c");
    await new Promise((done) => setTimeout(done, MOMENT_MS));
    await stub.interrupt();
  }
  stub.close();
  throw new Error(`in ${TRIES} looks the guest was never in its kernel`);
}

/** The GDB remote serial protocol, as far as it is needed: packets `$text#sum`, acknowledged by `+`. */
class Stub {
  #heard = "";
  #wake: (() => void) | null = null;

  private constructor(readonly socket: Socket) {
    socket.on("data", (chunk: Buffer) => {
      this.#heard += chunk.toString("latin1");
      this.#wake?.();
    });
  }

  /** A guest stops when a debugger comes. */
  static async open(port: number): Promise<Stub> {
    const socket = connect(port, "127.0.0.1");
    await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    const stub = new Stub(socket);
    await stub.ask("?", STOPPED);
    return stub;
  }

  /** What else it says, such as that the guest has stopped, may come in between. */
  async ask(text: string, answer: RegExp): Promise<string> {
    this.send(text);
    return await this.#answer(answer);
  }

  send(text: string): void {
    const sum = [...Buffer.from(text, "latin1")].reduce((all, byte) => (all + byte) & 255, 0);
    this.socket.write(`$${text}#${sum.toString(16).padStart(2, "0")}`);
  }

  async interrupt(): Promise<void> {
    this.socket.write("\x03");
    await this.#answer(STOPPED);
  }

  close(): void {
    this.socket.destroy();
  }

  async #answer(wanted: RegExp): Promise<string> {
    const end = Date.now() + 30_000;
    for (;;) {
      const packet = /\$([^#]*)#[0-9a-f]{2}/.exec(this.#heard);
      if (packet) {
        this.#heard = this.#heard.slice(packet.index + packet[0].length);
        this.socket.write("+");
        if (wanted.test(packet[1] ?? "")) return packet[1] ?? "";
        continue;
      }
      if (Date.now() > end) throw new Error(`the stub did not answer; it said ${JSON.stringify(this.#heard)}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        setTimeout(resolve, 1_000);
      });
    }
  }
}
