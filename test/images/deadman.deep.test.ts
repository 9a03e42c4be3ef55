import { beforeAll, describe, expect, it, type TestContext } from "vitest";
import { type BaseImage, buildBaseImage, ImageMachine } from "../support/base-image.js";
import { freePort } from "../support/free-port.js";
import { TestGateway } from "../support/gateway.js";
import { plantInvalid } from "../support/guest-kernel.js";

/** Software emulation on a busy machine: a boot that takes 6 s alone has been seen to take 40. */
const CONTACT_MS = 300_000;
/** What the dead-man adds to a lease, or a watchdog's 30 s, and as much again for a busy host. */
const HOME_MS = 150_000;
/**
 * A panicked kernel counts panic=30 as 30,000 waits of a millisecond; one in which the host ran something else counts as one,
 * however long that was. Where ten want the emulated processor's core, it takes two minutes and more.
 */
const PANIC_MS = 300_000;

let image: BaseImage;
beforeAll(async () => {
  image = await buildBaseImage();
}, 15 * 60_000);

/** A machine that works on the script; once its console says `said`, every server is gone for good. */
async function leftAlone(
  { onTestFinished }: TestContext,
  said: string,
  script: string,
  args: string[] = [],
): Promise<ImageMachine> {
  const gateway = await TestGateway.start();
  gateway.leaseSeconds = 40;
  const machine = new ImageMachine(image, gateway, { session: { PITSTOP_LEASE_SECONDS: 240 }, args });
  onTestFinished(async () => {
    await machine.dispose();
    await gateway.stop();
  });
  const because = (error: unknown) => {
    throw new Error(`the machine did not get so far; its console says:\n${machine.console}`, { cause: error });
  };
  await gateway.until(() => gateway.hellos.length > 0, "hello", CONTACT_MS).catch(because);
  gateway.offer({ id: "work", script, timeoutSeconds: 600 });
  await until(() => machine.console.includes(said), CONTACT_MS).catch(because);
  await gateway.stop();
  return machine;
}

async function until(isSo: () => boolean, withinMs: number): Promise<void> {
  const end = Date.now() + withinMs;
  while (!isSo()) {
    if (Date.now() > end) throw new Error(`not within ${withinMs / 1000} s`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

describe.concurrent("the image, alone in the world", { timeout: CONTACT_MS + PANIC_MS + 60_000 }, () => {
  it("goes home at the end of its lease though memory ran out, its clock jumped, its guard was killed and its agent hangs", async (context) => {
    const machine = await leftAlone(
      context,
      "left alone",
      `exec >/dev/console
       guard=$(cat /run/pitstop/guard.pid)
       awk 'BEGIN { s = "x"; while (1) s = s s }' || echo "memory ran out"
       [ "$guard" = "$(cat /run/pitstop/guard.pid)" ] && kill -0 $guard && echo "the guard outlived it"
       date -s "2099-01-01 00:00:00"
       kill -9 $guard
       while [ "$guard" = "$(cat /run/pitstop/guard.pid)" ]; do usleep 100000; done
       kill -STOP $(cat /run/pitstop/agent.pid)
       echo "lease until $(cat /run/pitstop/lease); left alone"
       while :; do sleep 60; done`,
    );
    await machine.over(HOME_MS);
    expect(machine.console).toContain("the guard outlived it");
    expect(machine.console).toContain("the guard ended (137); starting it again");
    const until = Number(/lease until (\d+); left alone/.exec(machine.console)?.[1]);
    const left = Number(/\[(\d+)\.\d+\] dead-man: no lease any more; going home \(reboot\)/.exec(machine.console)?.[1]);
    // Neither before its end nor a lease later: the second guard went on with the first one's.
    expect(left, machine.console).toBeGreaterThanOrEqual(until);
    expect(left).toBeLessThan(until + 40);
  });

  it("is reset by the watchdog when its user space hangs and nothing in it can act any more", async (context) => {
    const machine = await leftAlone(
      context,
      "left alone",
      `kill -STOP $(cat /run/pitstop/guard.pid) $(cat /run/pitstop/agent.pid)
       echo "$(cat /sys/class/watchdog/watchdog0/identity): left alone" >/dev/console
       while :; do sleep 60; done`,
    );
    await machine.over(HOME_MS);
    expect(machine.console).toContain("Software Watchdog: left alone");
    expect(machine.console).toContain("softdog: Initiating system reboot");
    expect(machine.console).not.toContain("dead-man");
  });

  it("resets when its kernel panics, by panic=30", async (context) => {
    const machine = await leftAlone(
      context,
      "left alone",
      "echo left alone >/dev/console; echo c >/proc/sysrq-trigger",
    );
    await machine.over(PANIC_MS);
    expect(machine.console).toContain("Kernel panic - not syncing: sysrq triggered crash");
    expect(machine.console).toContain("Rebooting in 30 seconds");
    expect(machine.console).not.toContain("dead-man");
  });

  it("resets when its kernel has an oops on behalf of a process, which alone would have ended, by oops=panic", async (context) => {
    const gdb = await freePort();
    // A system call that nothing else in the image makes.
    const machine = await leftAlone(
      context,
      "left alone",
      `echo "at $(grep ' T __x64_sys_sethostname$' /proc/kallsyms): left alone" >/dev/console
       while :; do hostname pitstop; sleep 1; done`,
      ["-gdb", `tcp:127.0.0.1:${gdb}`],
    );
    await plantInvalid(gdb, /at ([0-9a-f]{16}) T /.exec(machine.console)?.[1] ?? "");
    await machine.over(PANIC_MS);
    expect(machine.console).toMatch(/invalid opcode: 0000 \[#1\]/);
    expect(machine.console).toMatch(/Comm: hostname /);
    expect(machine.console).toMatch(/Kernel panic - not syncing: Fatal exception[\r\n]/);
    expect(machine.console).toContain("Rebooting in 30 seconds");
    expect(machine.console).not.toContain("dead-man");
  });
});
