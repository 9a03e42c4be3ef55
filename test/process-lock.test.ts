import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { takeLock } from "../src/process-lock.js";

const lock = (path: string) => takeLock(path, "The folder", "another folder");
let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "pitstop-lock-"));
  path = join(folder, "lock");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const pidOf = (child: { pid?: number | undefined }): number => {
  if (child.pid === undefined) throw new Error("did not start");
  return child.pid;
};

it("is refused while its process lives, and free after release", () => {
  const release = lock(path);
  expect(() => lock(path)).toThrow(`in use by process ${process.pid}`);
  release();
  expect(existsSync(path)).toBe(false);
  lock(path)();
  expect(readdirSync(folder)).toEqual([]);
});

it("is taken over from a process that was killed", async () => {
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" });
  writeFileSync(path, JSON.stringify({ pid: pidOf(child), started: null }));
  expect(() => lock(path)).toThrow(`process ${child.pid}`);
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
  lock(path)();
});

it("is taken over when the pid was given to another process since", () => {
  writeFileSync(path, JSON.stringify({ pid: process.pid, started: "1" }));
  lock(path)();
});

it("is taken over when a power loss tore the file", () => {
  writeFileSync(path, "");
  lock(path)();
});
