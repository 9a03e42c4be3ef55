import { PitstopError } from "../domain/errors.js";
import type { HomeWay } from "../domain/target.js";

/**
 * The one writer of iPXE scripts (https://ipxe.org/scripting). Whatever is put into a script is a word of harmless
 * characters or it is refused: iPXE has no quoting that all its releases agree on, so nothing that would need some is
 * let through: no CR, LF, NUL or other control character, no `${`, quote, backslash, blank, `#`, `|` or `&`.
 *
 * Every script ends at home and none at a prompt: a command that may fail goes to `:home`.
 */
const WORD = /^[A-Za-z0-9_.,:=/@+-]+$/;
const MAX_WORD = 512;

/** x86 kernels take 2048 bytes of command line (COMMAND_LINE_SIZE), the last of which is the NUL. */
const MAX_COMMAND_LINE = 2047;

/** The text itself where it is one harmless word; else `invalid`. `what` names it in the error's sentence. */
export function word(text: string, what: string): string {
  if (text.length <= MAX_WORD && WORD.test(text)) return text;
  throw new PitstopError(
    "invalid",
    `${what} may only have letters, digits and _ . , : = / @ + - (at most ${MAX_WORD}) to be written into a boot script.`,
  );
}

/** A kernel command line of harmless words, separated by one blank. */
export function commandLine(args: readonly string[]): string {
  const line = args.map((arg) => word(arg, "A kernel argument")).join(" ");
  if (line.length <= MAX_COMMAND_LINE) return line;
  throw new PitstopError("invalid", `A kernel command line has at most ${MAX_COMMAND_LINE} characters; shorten it.`);
}

/** The lines that send the machine to its own disk. `404` is answered before any script is written, and is `exit-1` in one. */
const HOME_LINES: Record<HomeWay, string[]> = {
  exit: ["exit"],
  sanboot: ["sanboot --no-describe --drive 0x80 ||", "exit"],
  "exit-1": ["exit 1"],
  "404": ["exit 1"],
};

/** What iPXE puts in the place of a setting's name. */
const setting = (name: string): string => `\${${name}}`;

/** The same for a machine whose firmware is only known to iPXE. A plain `exit` under UEFI would open the setup screen. */
const HOME_BY_PLATFORM = [`iseq ${setting("platform")} efi || goto bios`, "exit 1", ":bios", "exit"];

const script = (lines: string[]): string => `#!ipxe\n${lines.join("\n")}\n`;

/**
 * What a machine without parameters gets: come back and say who you are. `serial` is last because iPXE leaves `&`
 * in it as it is. The address is relative: the machine comes back by the way on which it came.
 */
export function whoAreYouScript(): string {
  const query = { platform: "platform", mac: "netX/mac:hexhyp", uuid: "uuid", serial: "serial:uristring" };
  const text = Object.entries(query).map(([key, name]) => `${key}=${setting(name)}`);
  return script([`chain --replace --autofree boot.ipxe?${text.join("&")} ||`, ...HOME_BY_PLATFORM]);
}

export function homeScript(way: HomeWay | "by-platform"): string {
  return script(way === "by-platform" ? HOME_BY_PLATFORM : HOME_LINES[way]);
}

export interface SessionScript {
  session: string;
  /** Absolute path on this server, below which the files are. */
  folder: string;
  kernel: string;
  /** File names in the order in which the kernel joins them. */
  initrds: string[];
  args: readonly string[];
  home: HomeWay;
}

/**
 * Kernel, initrds, boot. Each initrd is named on the command line as well: iPXE before `initrd.magic` (2020 and older)
 * shows them to the EFI stub as files, which loads only those named there. The BIOS form ignores the names.
 */
export function sessionScript(of: SessionScript): string {
  const folder = word(of.folder, "A folder");
  const names = of.initrds.map((name) => word(name, "An initrd's name"));
  const args = commandLine([...names.map((name) => `initrd=${name}`), ...of.args]);
  return script([
    `# session ${word(of.session, "A session's id")}`,
    "imgfree",
    `kernel ${folder}/${word(of.kernel, "A kernel's name")} ${args} || goto home`,
    ...names.map((name) => `initrd ${folder}/${name} || goto home`),
    "boot ||",
    ":home",
    ...HOME_LINES[of.home],
  ]);
}
