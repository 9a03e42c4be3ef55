import { open, realpath, stat } from "node:fs/promises";
import { resolve, sep } from "node:path";
import { execa } from "execa";
import type { CredentialRef } from "../domain/basics.js";
import { bareEnvironment } from "../domain/environment.js";
import { fileErrorCode, PitstopError } from "../domain/errors.js";

export interface Account {
  user: string;
  password: string;
}

export interface CredentialOptions {
  /** Folder of credential files; a reference may not leave it. */
  root: string;
  env?: NodeJS.ProcessEnv;
  /** For `exec`; 10 s by default. */
  timeoutMs?: number;
}

const EXEC_MS = 10_000;
const MAX_BYTES = 4096;

/** How a reference is named in sentences: never by anything that it yields. */
export function nameOf(ref: CredentialRef): string {
  if ("env" in ref) return `the environment variable ${ref.env}`;
  if ("file" in ref) return `the file ${ref.file}`;
  return `the program ${ref.exec[0]}`;
}

/**
 * What a reference yields: `user:password`, divided at the first colon.
 * Errors: `invalid` with the remedy. None ever holds what was read.
 */
export async function resolveCredentials(ref: CredentialRef, options: CredentialOptions): Promise<Account> {
  const text = await readReference(ref, options);
  const line = text.replace(/\r?\n$/, "");
  const colon = line.indexOf(":");
  if (colon < 1 || colon === line.length - 1 || /[\r\n\0]/.test(line)) {
    throw new PitstopError("invalid", `${sentence(nameOf(ref))} does not hold one line user:password; correct it.`);
  }
  return { user: line.slice(0, colon), password: line.slice(colon + 1) };
}

/** The text that a reference yields, at most 4096 bytes of it. Errors: `invalid` with the remedy. */
export async function readReference(ref: CredentialRef, options: CredentialOptions): Promise<string> {
  if ("env" in ref) return fromEnv(ref.env, options.env ?? process.env);
  if ("file" in ref) return await fromFile(ref.file, options.root);
  return await fromExec(ref.exec, options.timeoutMs ?? EXEC_MS);
}

function fromEnv(name: string, env: NodeJS.ProcessEnv): string {
  const value = env[name];
  if (value !== undefined && value !== "") return value;
  throw new PitstopError(
    "invalid",
    `The environment variable ${name} with the secret is not set; set it where this site runs.`,
  );
}

async function fromFile(path: string, root: string): Promise<string> {
  let real: string;
  let realRoot: string;
  try {
    realRoot = await realpath(root);
    real = await realpath(resolve(root, path));
  } catch (error) {
    throw new PitstopError(
      fileErrorCode(error),
      `The credential file ${path} is not in ${root}; create it with user:password in it.`,
    );
  }
  // After links are resolved: a reference in a document must not read other files of the server.
  if (!real.startsWith(realRoot + sep)) {
    throw new PitstopError("invalid", `The credential file ${path} leads out of ${root}; put it inside.`);
  }
  try {
    return await firstBytes(real);
  } catch (error) {
    throw new PitstopError(
      fileErrorCode(error),
      `The credential file ${path} cannot be read; make it a file that this user may read.`,
    );
  }
}

async function firstBytes(path: string): Promise<string> {
  // Opening a pipe would wait for its writer.
  if (!(await stat(path)).isFile()) throw new TypeError("not a file");
  const file = await open(path, "r");
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_BYTES), 0, MAX_BYTES, 0);
    return buffer.subarray(0, bytesRead).toString("utf8");
  } finally {
    await file.close();
  }
}

async function fromExec(argv: string[], timeoutMs: number): Promise<string> {
  const [program = "", ...args] = argv;
  const result = await execa(program, args, {
    reject: false,
    timeout: timeoutMs,
    killSignal: "SIGKILL",
    maxBuffer: MAX_BYTES,
    stdin: "ignore",
    stderr: "ignore",
    extendEnv: false,
    env: bareEnvironment(),
    stripFinalNewline: false,
  });
  if (!result.failed) return result.stdout;
  const how = result.timedOut
    ? `took longer than ${timeoutMs / 1000} s`
    : result.isMaxBuffer
      ? `printed more than ${MAX_BYTES} bytes`
      : result.exitCode === undefined
        ? "could not be run"
        : `ended with exit code ${result.exitCode}`;
  throw new PitstopError(
    // A vault that is slow, or a host without a handle or a process to spare, may do better in a moment.
    result.timedOut ? "unreachable" : how === "could not be run" ? fileErrorCode(result) : "invalid",
    `The credential program ${program} ${how}; run it by hand as this user and correct it.`,
  );
}

const sentence = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
