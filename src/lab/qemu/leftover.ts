import { readFileSync, rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { PitstopError } from "../../domain/errors.js";

const END_MS = 10_000;

/**
 * Ensures that no QEMU of an earlier lab runs on this pid file: two on one disk would destroy it. The kernel ends QEMU
 * with its lab, but a lab that is started at once may be faster, or QEMU may have been born as the lab died.
 */
export async function endLeftover(pidFile: string): Promise<void> {
  const pid = readPid(pidFile);
  if (pid === null || !isOurs(pid, pidFile)) return;
  process.kill(pid, "SIGKILL");
  const deadline = Date.now() + END_MS;
  while (isOurs(pid, pidFile)) {
    if (Date.now() > deadline) {
      throw new PitstopError("conflict", `QEMU with pid ${pid} still runs this machine; end it and start again.`);
    }
    await sleep(20);
  }
  rmSync(pidFile, { force: true });
}

function readPid(pidFile: string): number | null {
  try {
    const pid = Number(readFileSync(pidFile, "utf8").trim());
    return Number.isInteger(pid) && pid > 1 ? pid : null;
  } catch {
    return null;
  }
}

/** A pid is used again by others; the pid file's path in its arguments makes it ours. A zombie has none. */
function isOurs(pid: number, pidFile: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes(pidFile);
  } catch {
    return false;
  }
}
