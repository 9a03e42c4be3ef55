import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { execa } from "execa";
import { bareEnvironment } from "../../domain/environment.js";
import { PitstopError } from "../../domain/errors.js";
import type { HomeAnswer } from "../../domain/snapshot.js";
import type { HomeCheck } from "../../domain/target.js";
import { HOME_CHECK_MS, type HomeDeps, inTime, noAnswer } from "./answer.js";

type SshCheck = Extract<HomeCheck, { ssh: unknown }>["ssh"];

const MAX_OUTPUT = 64 * 1024;
/** Both files are one line of text on every Linux with systemd; the boot id on every Linux. */
const COMMAND = "cat /proc/sys/kernel/random/boot_id /etc/machine-id";

/**
 * Asks the target's own system by OpenSSH. The host key is fetched and its fingerprint compared with the document's
 * first; only that key is then known to `ssh`, which checks it strictly.
 */
export async function askSsh(check: SshCheck, deps: HomeDeps): Promise<HomeAnswer> {
  const name = `ssh ${check.user}@${check.host}:${check.port}`;
  refuseOption(check.host);
  const scanned = await run(deps.programs?.sshKeyscan ?? "ssh-keyscan", scanArgs(check, deps), deps);
  if (scanned.missing) return noAnswer(name, "ssh-keyscan is not installed on this site; install the OpenSSH client");
  const keys = keysIn(scanned.stdout);
  if (keys.length === 0) return noAnswer(name, "no SSH server answered");
  const key = keys.find((one) => one.fingerprint === check.hostKey);
  if (key === undefined) {
    const shown = keys.map((one) => one.fingerprint).join(", ");
    return noAnswer(name, `it shows the host keys ${shown}, and not ${check.hostKey} as its document says`);
  }
  const folder = await mkdtemp(join(tmpdir(), "pitstop-ssh-"));
  try {
    const knownHosts = join(folder, "known_hosts");
    await writeFile(knownHosts, `${knownName(check)} ${key.line}\n`, { mode: 0o600 });
    const asked = await run(deps.programs?.ssh ?? "ssh", sshArgs(check, knownHosts, deps), deps);
    if (asked.missing) return noAnswer(name, "ssh is not installed on this site; install the OpenSSH client");
    if (asked.failed)
      return noAnswer(name, `ssh failed: ${asked.stderr.trim().split("\n").at(-1) ?? "no reason given"}`);
    const [bootId, machineId] = asked.stdout.split("\n").map((line) => line.trim());
    return {
      ...noAnswer(name, ""),
      answered: true,
      reason: null,
      machineId: idOf(machineId),
      bootId: check.newBootId ? idOf(bootId) : null,
      hostKey: key.fingerprint,
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Lines of ssh-keyscan: host, key type, key. The fingerprint is that of RFC 4253 key blobs, as OpenSSH shows it. */
export function keysIn(text: string): { line: string; fingerprint: string }[] {
  return text
    .split("\n")
    .map((line) => /^\S+ ([a-z0-9@.-]{1,64}) ([A-Za-z0-9+/]{16,8192}={0,2})$/.exec(line.trim()))
    .filter((match) => match !== null)
    .slice(0, 32)
    .map(([, type = "", blob = ""]) => {
      const digest = createHash("sha256").update(Buffer.from(blob, "base64")).digest("base64");
      return { line: `${type} ${blob}`, fingerprint: `SHA256:${digest.replace(/=+$/, "")}` };
    });
}

const scanArgs = (check: SshCheck, deps: HomeDeps): string[] => [
  "-T",
  String(Math.ceil((deps.timeoutMs ?? HOME_CHECK_MS) / 2_000)),
  "-p",
  String(check.port),
  "--",
  check.host,
];

function sshArgs(check: SshCheck, knownHosts: string, deps: HomeDeps): string[] {
  const options = [
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    `UserKnownHostsFile=${knownHosts}`,
    "GlobalKnownHostsFile=/dev/null",
    "UpdateHostKeys=no",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    `ConnectTimeout=${Math.ceil((deps.timeoutMs ?? HOME_CHECK_MS) / 2_000)}`,
  ];
  const key =
    check.key === undefined
      ? []
      : [
          "-i",
          isAbsolute(check.key) ? check.key : resolve(deps.root ?? process.cwd(), check.key),
          "-o",
          "IdentitiesOnly=yes",
        ];
  // No configuration file: its ProxyCommand, canonical names and control sockets would decide who is asked.
  return [
    ...["-F", "/dev/null", "-T", "-p", String(check.port), "-l", check.user],
    ...options.flatMap((option) => ["-o", option]),
    ...key,
    ...["--", check.host, COMMAND],
  ];
}

async function run(program: string, args: string[], deps: HomeDeps) {
  const env = { extendEnv: false, env: bareEnvironment() } as const;
  const options = { ...env, reject: false, forceKillAfterDelay: 500, maxBuffer: MAX_OUTPUT, stdin: "ignore" } as const;
  const result = await inTime(deps, async (cancelSignal) => await execa(program, args, { ...options, cancelSignal }));
  return { missing: result.code === "ENOENT", failed: result.failed, stdout: result.stdout, stderr: result.stderr };
}

function refuseOption(host: string): void {
  if (/^[A-Za-z0-9[\]:.][A-Za-z0-9[\]:._%-]*$/.test(host)) return;
  throw new PitstopError("invalid", `${JSON.stringify(host)} is no host name or address; correct home.ssh.host.`);
}

const knownName = ({ host, port }: SshCheck): string => (port === 22 ? host : `[${host}]:${port}`);
const idOf = (text: string | undefined): string | null =>
  text !== undefined && /^[0-9a-fA-F-]{32,36}$/.test(text) ? text : null;
