import { setTimeout as sleep } from "node:timers/promises";
import { type Command, parseScript, type Script } from "./lines.js";
import { Settings } from "./settings.js";

/** A file that was downloaded. `content` is kept for small files only. */
export interface Download {
  url: string;
  bytes: number;
  sha256: string;
  content: Buffer | null;
}

export interface LoadedImage extends Download {
  name: string;
  args: string[];
}

/** How iPXE gives the machine away. */
export type IpxeEnd =
  /** Control goes back to the firmware. */
  | { kind: "exit"; status: number; why: string }
  | { kind: "boot"; kernel: LoadedImage; initrds: LoadedImage[] }
  | { kind: "sanboot" }
  | { kind: "reboot" }
  | { kind: "poweroff" }
  /** It waits for somebody at the keyboard. */
  | { kind: "stuck"; why: string };

export interface IpxeWorld {
  /** mac, uuid, serial, platform, … */
  settings: Record<string, string>;
  /** Downloads a file whole, or throws. */
  download(url: string): Promise<Download>;
  /** Told of each command before it runs. */
  trace(line: string): void;
  signal: AbortSignal;
}

/** A script that loops is stopped here. */
const MAX_COMMANDS = 2_000;
const MAX_DEPTH = 8;
const MAX_SLEEP_S = 60;

/** Thrown by a command that ends all scripts. */
class Ended {
  constructor(readonly end: IpxeEnd) {}
}
/** Thrown by `exit`, and by a script that was replaced: ends this script only. */
class ScriptDone {
  constructor(readonly status: number) {}
}

/** The part of iPXE that boot servers use. A command that it does not know fails, as in iPXE, and is traced. */
export class Ipxe {
  readonly #world: IpxeWorld;
  readonly #settings: Settings;
  readonly #images: LoadedImage[] = [];
  #selected: LoadedImage | null = null;
  #commands = 0;
  #lastFailure = "";

  constructor(world: IpxeWorld) {
    this.#world = world;
    this.#settings = new Settings(world.settings);
  }

  /** Runs the script at `url`, as autoboot does with the file that DHCP names. */
  async autoboot(url: string): Promise<IpxeEnd> {
    try {
      const status = await this.#chain(url, 0);
      return { kind: "exit", status, why: status === 0 ? "the script ended" : this.#lastFailure };
    } catch (thrown) {
      if (thrown instanceof Ended) return thrown.end;
      throw thrown;
    }
  }

  async #chain(url: string, depth: number, replace = false): Promise<number> {
    if (depth >= MAX_DEPTH) return this.#fail(`scripts are chained more than ${MAX_DEPTH} deep`);
    const file = await this.#download(url);
    if (!file) return 1;
    const script = file.content ? parseScript(file.content.toString("latin1")) : null;
    if (!script) return this.#fail(`${url} is not a script that iPXE can run`);
    const status = await this.#run(script, file.url, depth);
    // The script that was replaced does not go on; one that could not be replaced does.
    if (replace) throw new ScriptDone(status);
    return status;
  }

  async #run(script: Script, url: string, depth: number): Promise<number> {
    let status = 0;
    try {
      for (let at = 0; at < script.lines.length; at++) {
        const line = script.lines[at] ?? [];
        const jump = await this.#line(line, script, url, depth);
        if (jump.to !== null) at = jump.to - 1;
        status = jump.status;
        // A command that fails ends the script, unless the line says what to do then.
        if (status !== 0) return status;
      }
      return status;
    } catch (thrown) {
      if (thrown instanceof ScriptDone) return thrown.status;
      throw thrown;
    }
  }

  async #line(
    line: Command[],
    script: Script,
    url: string,
    depth: number,
  ): Promise<{ status: number; to: number | null }> {
    let status = 0;
    let wanted = true;
    for (const { words, then } of line) {
      if (wanted) {
        this.#count();
        if (words[0] === "goto") {
          const to = script.labels.get(this.#settings.expand(words[1] ?? ""));
          if (to !== undefined) return { status: 0, to };
          status = this.#fail(`there is no label ${words[1]}`);
        } else {
          status = words.length === 0 ? 0 : await this.#command(words, url, depth);
        }
      }
      wanted = then === ";" || (then === "||") === (status !== 0);
    }
    return { status, to: null };
  }

  #count(): void {
    this.#world.signal.throwIfAborted();
    if (++this.#commands <= MAX_COMMANDS) return;
    throw new Ended({ kind: "stuck", why: `the script ran ${MAX_COMMANDS} commands without an end` });
  }

  async #command(words: string[], url: string, depth: number): Promise<number> {
    const [name = "", ...rest] = words.map((word) => this.#settings.expand(word));
    this.#world.trace([name, ...rest].join(" "));
    const { options, args } = optionsOf(rest);
    switch (name) {
      case "set":
        this.#settings.set(args[0] ?? "", args.slice(1).join(" "));
        return 0;
      case "clear":
        this.#settings.clear(args[0] ?? "");
        return 0;
      case "isset":
        return args[0] ? 0 : 1;
      case "iseq":
        return args[0] === args[1] ? 0 : 1;
      case "echo":
      case "dhcp":
      case "ifopen":
      case "ifclose":
      case "ifstat":
      case "imgstat":
      case "cpuid":
        return 0;
      case "sleep":
        await sleep(Math.min(Number(args[0]) || 0, MAX_SLEEP_S) * 1000, undefined, { signal: this.#world.signal });
        return 0;
      case "chain":
        return this.#chain(new URL(args[0] ?? "", url).href, depth + 1, "replace" in options || "r" in options);
      case "kernel":
        return this.#load(args, options, url, true);
      case "initrd":
      case "module":
      case "imgfetch":
        return this.#load(args, options, url, false);
      case "imgargs":
        return this.#arguments(args);
      case "imgfree":
        this.#images.length = 0;
        this.#selected = null;
        return 0;
      case "boot":
      case "imgexec":
        return this.#boot();
      case "exit":
        throw new ScriptDone(Number(args[0] ?? 0) || 0);
      case "sanboot":
        throw new Ended({ kind: "sanboot" });
      case "reboot":
        throw new Ended({ kind: "reboot" });
      case "poweroff":
        throw new Ended({ kind: "poweroff" });
      case "shell":
      case "prompt":
      case "login":
      case "config":
      case "choose":
        throw new Ended({ kind: "stuck", why: `iPXE waits at its ${name}` });
      default:
        return this.#fail(`${name}: command not found`);
    }
  }

  async #load(args: string[], options: Record<string, string>, url: string, select: boolean): Promise<number> {
    const [uri = "", ...rest] = args;
    const target = new URL(uri, url);
    const file = await this.#download(target.href);
    if (!file) return 1;
    const name = options.name ?? target.pathname.split("/").at(-1) ?? "";
    const image = { ...file, name, args: rest };
    this.#images.push(image);
    if (select) this.#selected = image;
    return 0;
  }

  #arguments([name, ...args]: string[]): number {
    const image = this.#images.find((each) => each.name === name);
    if (!image) return this.#fail(`there is no image ${name}`);
    image.args = args;
    return 0;
  }

  #boot(): number {
    const kernel = this.#selected;
    if (!kernel) return this.#fail("nothing was loaded that could be booted");
    throw new Ended({ kind: "boot", kernel, initrds: this.#images.filter((image) => image !== kernel) });
  }

  async #download(url: string): Promise<Download | null> {
    try {
      return await this.#world.download(url);
    } catch (error) {
      this.#world.signal.throwIfAborted();
      this.#fail(`${url}: ${error instanceof Error ? error.message : String(error)}`);
      return null;
    }
  }

  #fail(why: string): number {
    this.#lastFailure = why;
    this.#world.trace(`# ${why}`);
    return 1;
  }
}

/** Options with a value, in their long and short form. */
const VALUED: Record<string, string> = {
  "--name": "name",
  "-n": "name",
  "--timeout": "timeout",
  "-t": "timeout",
  "--drive": "drive",
  "-d": "drive",
};

/** `--name value`, `-n value`, `--replace`; the rest is positional, from the first word that is no option on. */
function optionsOf(words: string[]): { options: Record<string, string>; args: string[] } {
  const options: Record<string, string> = {};
  let at = 0;
  for (; at < words.length; at++) {
    const word = words[at] ?? "";
    const long = VALUED[word];
    if (long !== undefined) options[long] = words[++at] ?? "";
    else if (word.startsWith("-") && word.length > 1) options[word.replace(/^-+/, "")] = "";
    else break;
  }
  return { options, args: words.slice(at) };
}
