import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { TestGateway } from "./gateway.js";

export const AGENT = resolve("images/base/agent/pitstop-agent");

/** The keys of `/etc/pitstop/session`, as the boot server writes them for this gateway. */
export function sessionOf(gateway: TestGateway, more: Record<string, string | number> = {}): Record<string, string> {
  const keys = {
    PITSTOP_TLS_URL: `https://127.0.0.1:${gateway.port}`,
    PITSTOP_NONCE: gateway.nonce,
    PITSTOP_SESSION: "test-session",
    PITSTOP_TARGET: "t1",
    PITSTOP_MODE: gateway.mode,
    PITSTOP_LEASE_SECONDS: 60,
    PITSTOP_DEADLINE_SECONDS: 3600,
    PITSTOP_WAS_OFF: 0,
    PITSTOP_PIN: gateway.certificate.pin,
    ...more,
  };
  return Object.fromEntries(Object.entries(keys).map(([key, value]) => [key, String(value)]));
}

export const sessionText = (session: Record<string, string>): string =>
  Object.entries(session)
    .map(([key, value]) => `${key}='${value}'\n`)
    .join("");

/** The agent as a process machine runs it: a spool of its own, and a power command that writes down what it was told. */
export class AgentProcess {
  readonly folder = mkdtempSync(join(tmpdir(), "pitstop-agent-"));
  readonly #env: NodeJS.ProcessEnv;
  readonly #shell: string[];
  #child: ChildProcess | null = null;
  output = "";

  constructor(
    gateway: TestGateway,
    options: { session?: Record<string, string | number>; env?: NodeJS.ProcessEnv; shell?: string[] } = {},
  ) {
    const write = (name: string, text: string) => writeFileSync(join(this.folder, name), text);
    write("session", sessionText(sessionOf(gateway, options.session)));
    write("ca.pem", gateway.certificate.caPem);
    write("power", `#!/bin/sh\necho "$1" >>"${this.folder}/powered"\n`);
    chmodSync(join(this.folder, "power"), 0o755);
    mkdirSync(this.spool);
    this.#shell = options.shell ?? ["sh"];
    this.#env = {
      PATH: process.env.PATH,
      PITSTOP_SESSION_FILE: join(this.folder, "session"),
      PITSTOP_CA_FILE: join(this.folder, "ca.pem"),
      PITSTOP_SPOOL: this.spool,
      PITSTOP_POWER_COMMAND: join(this.folder, "power"),
      PITSTOP_UNLOCK_COMMAND: join(this.folder, "unlock"),
      PITSTOP_BOOT_ID: "0f6d6a1c-3a55-4a3e-9a64-0d3c52a4f7f1",
      PITSTOP_UUID: "4c4c4544-0042-4810-8051-b4c04f4e4d31",
      PITSTOP_MACS: "52:54:00:12:34:01",
      PITSTOP_FIRMWARE: "uefi",
      ...options.env,
    };
  }

  get spool(): string {
    return join(this.folder, "spool");
  }

  start(): this {
    const [command = "sh", ...args] = this.#shell;
    const child = spawn(command, [...args, AGENT], {
      env: this.#env,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (chunk: Buffer) => {
        this.output += chunk.toString();
      });
    }
    this.#child = child;
    return this;
  }

  /** Ends the agent's own process group as a power cut does: no trap runs. */
  kill(): void {
    const pid = this.#child?.pid;
    try {
      if (pid) process.kill(-pid, "SIGKILL");
    } catch {
      // It had ended by itself.
    }
  }

  /** Kills the agent alone: its guard lives on. */
  killAgentOnly(): void {
    this.#child?.kill("SIGKILL");
  }

  async exit(timeoutMs = 15_000): Promise<number | null> {
    const child = this.#child;
    if (!child) throw new Error("the agent was not started");
    if (child.exitCode === null && child.signalCode === null) {
      await once(child, "exit", { signal: AbortSignal.timeout(timeoutMs) }).catch((error: unknown) => {
        throw new Error(`the agent does not end; it said:\n${this.output}`, { cause: error });
      });
    }
    return child.exitCode;
  }

  /** What the power command was told, one word a call. */
  powered(): string[] {
    const file = join(this.folder, "powered");
    // The file is there before its line is.
    return existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(0, -1) : [];
  }

  async untilPowered(timeoutMs = 60_000): Promise<string[]> {
    const end = Date.now() + timeoutMs;
    while (Date.now() < end) {
      if (this.powered().length > 0) return this.powered();
      await new Promise((done) => setTimeout(done, 50));
    }
    throw new Error(`the power command was not called; the agent said:\n${this.output}`);
  }

  dispose(): void {
    this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
