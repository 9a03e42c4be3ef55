import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import ts from "typescript";
import { afterAll, describe, expect, it } from "vitest";
import { chooseAccelerator } from "../../src/lab/qemu/accelerator.js";
import { type QemuCommand, qemuArguments } from "../../src/lab/qemu/command.js";
import { endLeftover } from "../../src/lab/qemu/leftover.js";
import { bootFileUrl, ensureHomePort, ensureTftpFolder } from "../../src/lab/qemu/network.js";
import { QemuProcess } from "../../src/lab/qemu/process.js";
import { temporaryFolder, until } from "./qemu-support.js";

const folder = temporaryFolder();
afterAll(() => folder.remove());

function command(name: string): QemuCommand {
  const disk = join(folder.path, `${name}.img`);
  writeFileSync(disk, "");
  truncateSync(disk, 1 << 20);
  return {
    ...{ name, uuid: "0b6e3c5a-9d1f-4c5e-8a5b-0000000000aa", mac: "52:54:00:12:34:56", memoryMiB: 64, cpus: 1 },
    ...{ accelerator: "tcg", disk, extraDisks: [], medium: null, homePort: 0, bootFile: null, tftpFolder: null },
    ...{ watchdog: true, pidFile: join(folder.path, `${name}.pid`), firmware: { kind: "bios", order: "c" } },
  };
}

const isRunning = (pid: number): boolean => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
};

describe("a QEMU process", { timeout: 60_000 }, () => {
  it("ends when the lab that started it is killed", async () => {
    const script = compiled(
      "orphan",
      `
      import { QemuProcess } from "./src/lab/qemu/process.js";
      const qemu = await QemuProcess.start("qemu-system-x86_64", ${JSON.stringify(qemuArguments(command("orphan")))}, () => {});
      console.log(qemu.pid);
    `,
    );
    const lab = spawn(process.execPath, [script], { stdio: ["ignore", "pipe", "inherit"] });
    const [said] = (await once(lab.stdout, "data")) as [Buffer];
    const pid = Number(said.toString());
    expect(isRunning(pid)).toBe(true);
    lab.kill("SIGKILL");
    await until(() => (isRunning(pid) ? null : true), "the end of QEMU", 10_000);
  });

  it("that an earlier lab left behind is ended before the machine is used again; others' processes are not", async () => {
    const pidFile = join(folder.path, "left.pid");
    const start = (...args: string[]) => spawn("sh", ["-c", "sleep 60; :", "sh", ...args], { stdio: "ignore" });
    const [left, other] = [start("-pidfile", pidFile), start()];
    try {
      writeFileSync(pidFile, `${other.pid}\n`);
      await endLeftover(pidFile);
      expect(isRunning(other.pid ?? 0)).toBe(true);
      writeFileSync(pidFile, `${left.pid}\n`);
      await endLeftover(pidFile);
      expect(isRunning(left.pid ?? 0)).toBe(false);
      expect(existsSync(pidFile)).toBe(false);
      await endLeftover(pidFile);
    } finally {
      left.kill("SIGKILL");
      other.kill("SIGKILL");
    }
  });

  it("tells why it ended, and that it could not start in QEMU's own words", async () => {
    const running = await QemuProcess.start("qemu-system-x86_64", qemuArguments(command("ends")), () => {});
    await running.kill();
    expect(await running.ended).toBe("killed");
    await expect(running.command("cont")).rejects.toThrow("QEMU has ended");
    const died = await QemuProcess.start("qemu-system-x86_64", qemuArguments(command("dies")), () => {});
    process.kill(died.pid, "SIGKILL");
    expect(await died.ended).toBe("died");
    const wrong = { ...command("wrong"), disk: "/nowhere.img" };
    await expect(QemuProcess.start("qemu-system-x86_64", qemuArguments(wrong), () => {})).rejects.toThrow(
      "/nowhere.img",
    );
  });
});

describe("what a guest is told", () => {
  it("has the site's loopback as the guest sees it, and fits DHCP's field", () => {
    expect(bootFileUrl("http://127.0.0.1:8481")).toBe("http://10.0.2.2:8481/boot.ipxe");
    expect(bootFileUrl("http://site.example:8481/")).toBe("http://site.example:8481/boot.ipxe");
    expect(() => bootFileUrl(`http://${"long.".repeat(25)}example`)).toThrow("too long for DHCP");
  });

  it("has iPXE where firmware asks TFTP for the URL", () => {
    mkdirSync(join(folder.path, "t"), { recursive: true });
    writeFileSync(join(folder.path, "ipxe"), "iPXE");
    const tftp = ensureTftpFolder(join(folder.path, "t"), "http://10.0.2.2:8481/boot.ipxe", join(folder.path, "ipxe"));
    expect(readFileSync(`${tftp}/http://10.0.2.2:8481/boot.ipxe`, "utf8")).toBe("iPXE");
  });

  it("escapes commas in QEMU's options", () => {
    const args = qemuArguments({ ...command("comma"), medium: "/a,b.iso", bootFile: "http://h/a,b" }).join(" ");
    expect(args).toContain("file=/a,,b.iso");
    expect(args).toContain("bootfile=http://h/a,,b");
  });

  it("keeps the port of its home check", async () => {
    const file = join(folder.path, "home-port");
    const port = await ensureHomePort(file, undefined);
    expect(await ensureHomePort(file, undefined)).toBe(port);
    expect(await ensureHomePort(file, 12345)).toBe(12345);
    expect(await ensureHomePort(file, undefined)).toBe(12345);
  });
});

describe("the accelerator", () => {
  const choose = (forced: string) => chooseAccelerator("/bin/false", "/nowhere", join(folder.path, "kvm.json"), forced);

  it("is what PITSTOP_LAB_ACCEL says, which must be tcg or kvm", async () => {
    expect(await choose("tcg")).toMatchObject({ accelerator: "tcg" });
    expect(await choose("kvm")).toMatchObject({ accelerator: "kvm" });
    await expect(choose("hvf")).rejects.toThrow("set it to tcg or kvm");
  });

  it("is software where KVM does not run a kernel", async () => {
    expect(await choose("")).toMatchObject({ accelerator: "tcg" });
  });
});

/** A plain Node program: the sources that it needs, compiled beside it. */
function compiled(name: string, program: string): string {
  const root = join(folder.path, name);
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  const options = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 };
  for (const path of [
    "lab/qemu/process",
    "lab/qemu/qmp",
    "lab/qemu/command",
    "lab/qemu/device-path",
    "domain/environment",
    "domain/errors",
  ]) {
    write(`src/${path}.js`, ts.transpile(readFileSync(`src/${path}.ts`, "utf8"), options));
  }
  write("package.json", '{"type": "module"}');
  write("main.js", program);
  return join(root, "main.js");
}
