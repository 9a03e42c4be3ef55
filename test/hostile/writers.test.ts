import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { grubBootstrap, grubScript } from "../../src/boot/grub.js";
import { commandLine, homeScript, sessionScript, whoAreYouScript, word } from "../../src/boot/ipxe.js";
import { sessionArchive } from "../../src/boot/session-archive.js";
import { PitstopError } from "../../src/domain/errors.js";
import { HomeWay } from "../../src/domain/target.js";
import type { SiteEntry } from "../../src/site/entry.js";
import { endOf, planOf } from "../boot/help.js";
import { bounded } from "./attack.js";

const root = resolve(import.meta.dirname, "../..");
const HARMLESS = /^[A-Za-z0-9_.,:=/@+-]+$/;

/** Texts that would end a line, begin an expansion, or end a quotation, within harmless ones and alone. */
const poison = fc.constantFrom(
  ...[
    "\r",
    "\n",
    "\0",
    "\u0085",
    "\u2028",
    "\t",
    " ",
    "${",
    "$(",
    "`",
    "$",
    "'",
    '"',
    "\\",
    ";",
    "|",
    "&",
    "#",
    "<",
    ">",
  ],
  ...["{", "}", "(", ")", "!", "*", "?", "[", "~", "%", "\u001b", "\u007f", "é", "\ud800"],
);
const harmless = fc.stringMatching(/^[A-Za-z0-9_.,:=/@+-]{0,20}$/);
const poisoned = fc.tuple(harmless, poison, harmless).map((parts) => parts.join(""));
const any = fc.oneof(harmless, poisoned, fc.string({ unit: "binary", maxLength: 600 }));

/** What was written, or null where the writer refused, which is the only other thing that it may do. */
function written(write: () => string): string | null {
  try {
    return write();
  } catch (error) {
    expect(error).toBeInstanceOf(PitstopError);
    return null;
  }
}

describe("the writer of boot scripts", () => {
  it("refuses every text that is not one harmless word", async () => {
    await bounded(
      fc.property(poisoned, (text) => {
        expect(written(() => word(text, "It"))).toBeNull();
        expect(written(() => commandLine(["quiet", text]))).toBeNull();
      }),
      { numRuns: 2_000 },
    );
  });

  it("writes a session's script of as many lines as it has commands, or none", async () => {
    const parts = fc.record({
      session: any,
      folder: any,
      kernel: any,
      initrds: fc.array(any, { minLength: 1, maxLength: 3 }),
      args: fc.array(any, { maxLength: 3 }),
      home: fc.constantFrom(...HomeWay.options),
    });
    await bounded(
      fc.property(parts, (of) => {
        const script = written(() => sessionScript(of));
        const words = [of.session, of.folder, of.kernel, ...of.initrds, ...of.args];
        expect(script !== null).toBe(words.every((text) => HARMLESS.test(text) && text.length <= 512));
        if (script === null) return;
        const home = homeScript(of.home).split("\n").slice(1);
        const names = script.split("\n").map((line) => line.split(" ")[0]);
        const commands = ["#!ipxe", "#", "imgfree", "kernel", ...of.initrds.map(() => "initrd"), "boot", ":home"];
        expect(names).toEqual([...commands, ...home.map((line) => line.split(" ")[0])]);
        expect(script).not.toMatch(/\$|[^\n -~]/);
      }),
      { numRuns: 1_000 },
    );
  });

  it("expands only iPXE's own settings, and those only in the script that asks who is there", () => {
    const settings = [...whoAreYouScript().matchAll(/\$\{([^}]*)\}/g)].map(([, name]) => name);
    const own = ["platform", "netX/mac:hexhyp", "uuid", "serial:uristring", "platform"];
    expect(settings).toEqual(own);
    for (const way of HomeWay.options) expect(homeScript(way)).not.toContain("$");
  });
});

describe("the writer of GRUB's script", () => {
  it("writes the same five commands whatever the image is called, or none", async () => {
    const parts = fc.record({
      kernel: any,
      initrds: fc.array(any, { minLength: 1, maxLength: 3 }),
      args: fc.array(any),
    });
    await bounded(
      fc.property(parts, (of) => {
        const script = written(() => grubScript(of));
        if (script === null) return;
        const lines = script.split("\n");
        expect(lines.map((line) => line.trim().split(" ")[0])).toEqual(["if", "if", "boot", "fi", "fi", ""]);
        expect(script).not.toMatch(/[$'"`\\#&|<>{}]/);
        expect(script.match(/;/g)).toHaveLength(2);
      }),
      { numRuns: 1_000 },
    );
    expect(grubBootstrap()).toMatch(/reboot\n$/);
  });
});

describe("the writer of an image's settings", () => {
  it("writes one quoted word a line, or nothing", async () => {
    await bounded(
      fc.property(any, any, any, any, (session, tlsUrl, nonce, pin) => {
        const plan = { ...planOf(), session };
        const entry = {
          target: "r1-n07",
          session,
          plan,
          absoluteDeadline: new Date(endOf(plan)).toISOString(),
        } as SiteEntry;
        const minted = { nonce, mintedAt: "2026-01-01T00:00:00.000Z" };
        const text = written(() =>
          sessionArchive(entry, { wasOff: false }, minted, { tlsUrl, ca: "", pin }).toString(),
        );
        if (text === null) return;
        const settings = text
          .slice(text.indexOf("PITSTOP_TLS_URL"), text.lastIndexOf("\n") + 1)
          .split("\n")
          .slice(0, -1);
        expect(settings).toHaveLength(10);
        for (const line of settings) expect(line).toMatch(/^PITSTOP_[A-Z_]+='[A-Za-z0-9_.,:=/@+-]*'$/);
      }),
      { numRuns: 500 },
    );
  });
});

const ROOMS = ["src", "workflows", "activities", "workers"];
function filesBelow(folder: string): string[] {
  return readdirSync(join(root, folder)).flatMap((name) => {
    const path = `${folder}/${name}`;
    if (statSync(join(root, path)).isDirectory()) return filesBelow(path);
    return path.endsWith(".ts") ? [path] : [];
  });
}
/** The code without its comments, which may speak of anything. */
const code = new Map(
  ROOMS.flatMap(filesBelow).map((path) => [
    path,
    readFileSync(join(root, path), "utf8")
      .replace(/\/\*[\s\S]*?\*\//g, "")
      .replace(/(^|\s)\/\/.*$/gm, ""),
  ]),
);
const having = (pattern: RegExp, where: (path: string) => boolean = () => true): string[] =>
  [...code].filter(([path, text]) => where(path) && pattern.test(text)).map(([path]) => path);

describe("no other code", () => {
  // The lab reads scripts and command lines: it plays the machines.
  const product = (path: string): boolean => !path.startsWith("src/lab/");

  it("writes a boot script or a kernel's command line", () => {
    expect(having(/#!ipxe/, product)).toEqual(["src/boot/ipxe.ts"]);
    const commands = /["'`]\s*(kernel|chain|imgfree|sanboot|initrd) [^"'`]*(\$\{|--)/;
    expect(having(commands, product)).toEqual(["src/boot/ipxe.ts"]);
    expect(having(/initrd=/, product)).toEqual(["src/boot/ipxe.ts"]);
  });

  it("writes a script of GRUB", () => {
    const commands = /["'`]\s*(if )?(linux|menuentry|source|configfile) [^"'`]*(\$\{|\()/;
    expect(having(commands, product)).toEqual(["src/boot/grub.ts"]);
    // The media's builder hands texts over to that writer and takes files from it.
    expect(having(/from "\.\/grub\.js"/)).toEqual(["src/boot/iso-build.ts"]);
  });

  it("hands text to a shell", () => {
    const shells =
      /shell: true|\bexec(Sync)?\(["'`]|execaCommand|\$`|["'](\/bin\/)?(ba|da)?sh["'],\s*\[?\s*["']-l?c["']/;
    expect(having(shells)).toEqual([]);
  });

  it("starts programs, but for these, which give them a list of arguments", () => {
    expect(having(/\b(execa|spawn|spawnSync|execFile|execFileSync|fork)\(/).sort()).toEqual([
      "src/boot/iso-build.ts",
      "src/catalogue/embedded/account.ts",
      "src/catalogue/embedded/cluster.ts",
      "src/catalogue/embedded/programs.ts",
      "src/control/credentials.ts",
      "src/control/home/ssh.ts",
      "src/lab/process/agent-process.ts",
      "src/lab/qemu/accelerator.ts",
      "src/lab/qemu/disk.ts",
      "src/lab/qemu/prepare.ts",
      "src/lab/qemu/process.ts",
      "src/temporal/binary.ts",
      "src/temporal/devserver.ts",
      "src/temporal/go-build.ts",
      "workers/prepare.ts",
    ]);
    // None with our whole environment, where secrets are.
    const started = having(/\b(execa|spawn)\(/);
    expect(started.filter((path) => !having(/bareEnvironment\(|env: \{\s*PATH:/).includes(path))).toEqual([]);
  });
});
