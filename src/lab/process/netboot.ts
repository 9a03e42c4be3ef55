import type { Downloader } from "./download.js";
import { type Download, Ipxe, type IpxeEnd } from "./ipxe/interpreter.js";

/** One way through the network boot, as the machine saw it. */
export interface NetbootTrace {
  /** iPXE's commands with their settings expanded; failures begin with `#`. */
  lines: string[];
  downloads: { url: string; bytes: number; sha256: string }[];
}

export interface NetbootOptions {
  downloader: Downloader;
  /** `http://host:port/boot.ipxe`, the file that DHCP names; null: no boot server. */
  bootFile: string | null;
  settings: Record<string, string>;
  trace: NetbootTrace;
  /** Called after each download; the boot goes on when it resolves. */
  onDownload: (download: Download) => Promise<void>;
  signal: AbortSignal;
}

/** Network boot: iPXE from the card's ROM (or as an EFI program) runs the file that DHCP names. */
export async function bootFromNetwork(options: NetbootOptions): Promise<IpxeEnd> {
  const { bootFile, trace, settings, signal } = options;
  if (bootFile === null) return { kind: "exit", status: 1, why: "DHCP names no boot file" };
  const ipxe = new Ipxe({
    settings,
    signal,
    trace: (line) => void trace.lines.push(line),
    download: (url) => download(options, url),
  });
  return ipxe.autoboot(bootFile);
}

/**
 * UEFI HTTP boot (UEFI 2.10 section 24.7): the firmware asks for the size, downloads the program and starts it. The only
 * program that a process machine can start is iPXE, which then does what it does after a network boot.
 */
export async function bootFromUri(options: NetbootOptions, uri: string): Promise<IpxeEnd> {
  const failed = (why: string): IpxeEnd => ({ kind: "exit", status: 1, why });
  try {
    const status = await options.downloader.head(uri, options.signal);
    if (status !== 200) return failed(`${uri}: HTTP ${status}`);
    const program = await download(options, uri);
    if (program.content && program.content.toString("latin1", 0, 2) !== "MZ") {
      return failed(`${uri} is not an EFI program`);
    }
  } catch (error) {
    options.signal.throwIfAborted();
    return failed(`${uri}: ${error instanceof Error ? error.message : String(error)}`);
  }
  return bootFromNetwork(options);
}

async function download(options: NetbootOptions, url: string): Promise<Download> {
  const file = await options.downloader.get(url, options.signal);
  options.trace.downloads.push({ url, bytes: file.bytes, sha256: file.sha256 });
  await options.onDownload(file);
  options.signal.throwIfAborted();
  return file;
}
