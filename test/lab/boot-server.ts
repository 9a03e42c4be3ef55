import { createHash, randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface BootServerOptions {
  /** Lines of the session's script after `#!ipxe`; null: 404. */
  script?: string[] | null;
  session?: Record<string, string>;
}

/** The `newc` form of a cpio archive, as a boot server makes it for a session. */
export function newc(files: Record<string, string>): Buffer {
  const entry = (name: string, mode: number, content: string): Buffer => {
    const hex = (value: number) => value.toString(16).padStart(8, "0");
    const head = ["070701", hex(1), hex(mode), hex(0), hex(0), hex(1), hex(0), hex(content.length)]
      .concat([0, 0, 0, 0].map(hex), hex(name.length + 1), hex(0))
      .join("");
    const pad = (text: string) => text.padEnd(Math.ceil(text.length / 4) * 4, "\0");
    return Buffer.from(pad(`${head}${name}\0`) + pad(content), "latin1");
  };
  const folders = [entry("etc", 0o040755, ""), entry("etc/pitstop", 0o040755, "")];
  const entries = Object.entries(files).map(([name, content]) => entry(name, 0o100600, content));
  const all = Buffer.concat([...folders, ...entries, entry("TRAILER!!!", 0, "")]);
  return Buffer.concat([all, Buffer.alloc(512 - (all.length % 512))]);
}

/** A boot server that says what the operations server's does, and lies on demand. */
export class BootServer {
  readonly requests: string[] = [];
  readonly kernel = randomBytes(3_000_000);
  readonly initrd = randomBytes(2_000_000);
  script: string[] | null;
  archive: Buffer;
  /** Promises another digest than the kernel has. */
  wrongKernel = false;
  readonly #server: Server;

  private constructor({ script, session }: BootServerOptions) {
    this.script = script === undefined ? SESSION_SCRIPT : script;
    const settings = { PITSTOP_TLS_URL: "https://127.0.0.1:1", PITSTOP_NONCE: "nonce-nonce-nonce-nonce", ...session };
    const text = Object.entries(settings).map(([key, value]) => `${key}='${value}'\n`);
    this.archive = newc({ "etc/pitstop/ca.pem": "none\n", "etc/pitstop/session": text.join("") });
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  static async start(options: BootServerOptions = {}): Promise<BootServer> {
    const server = new BootServer(options);
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    await new Promise((resolve) => {
      this.#server.close(resolve);
      this.#server.closeAllConnections();
    });
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    this.requests.push(`${request.method} ${request.url}`);
    const bytes = this.#bytes(request.url ?? "");
    if (!bytes) return void response.writeHead(404).end();
    const lies = this.wrongKernel && request.url?.endsWith("vmlinuz");
    const digest = createHash("sha256").update(bytes).digest("hex");
    response.writeHead(200, { etag: `"${lies ? "0".repeat(64) : digest}"`, "content-length": bytes.length });
    response.end(request.method === "HEAD" ? undefined : bytes);
  }

  #bytes(url: string): Buffer | null {
    if (url === "/boot.ipxe") return Buffer.from(WHO_ARE_YOU);
    if (url.startsWith("/boot.ipxe?")) return this.script && Buffer.from(`#!ipxe\n${this.script.join("\n")}\n`);
    if (url === "/b/n1/vmlinuz") return this.kernel;
    if (url === "/b/n1/initrd0") return this.initrd;
    if (url === "/b/n1/session.cpio") return this.archive;
    if (url === "/u/s1/ipxe.efi") return Buffer.from("MZ and the rest of an EFI program");
    return null;
  }
}

const WHO_ARE_YOU = `#!ipxe
chain --replace --autofree boot.ipxe?platform=\${platform}&mac=\${netX/mac:hexhyp}&uuid=\${uuid}&serial=\${serial:uristring} ||
iseq \${platform} efi || goto bios
exit 1
:bios
exit
`;

export const SESSION_SCRIPT = [
  "# session s1",
  "imgfree",
  "kernel /b/n1/vmlinuz initrd=initrd0 initrd=session.cpio console=ttyS0 || goto home",
  "initrd /b/n1/initrd0 || goto home",
  "initrd /b/n1/session.cpio || goto home",
  "boot ||",
  ":home",
  "exit",
];
