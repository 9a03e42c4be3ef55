import fc from "fast-check";
import { describe, expect, it } from "vitest";
import "../support/seeded.js";
import { commandLine, homeScript, sessionScript, whoAreYouScript, word } from "../../src/boot/ipxe.js";

describe("the writer of boot scripts", () => {
  it("asks a machine who it is, serial last, and sends it home by its firmware when that fails", () => {
    expect(whoAreYouScript()).toBe(
      [
        "#!ipxe",
        // biome-ignore lint/suspicious/noTemplateCurlyInString: iPXE's own settings
        "chain --replace --autofree boot.ipxe?platform=${platform}&mac=${netX/mac:hexhyp}&uuid=${uuid}&serial=${serial:uristring} ||",
        // biome-ignore lint/suspicious/noTemplateCurlyInString: iPXE's own settings
        "iseq ${platform} efi || goto bios",
        "exit 1",
        ":bios",
        "exit",
        "",
      ].join("\n"),
    );
  });

  it("boots the session's files and ends at home when one of them fails", () => {
    const of = { session: "0196-a", folder: "/b/N0nce", kernel: "vmlinuz", initrds: ["initrd0", "session.cpio"] };
    expect(sessionScript({ ...of, args: ["console=ttyS0,115200", "panic=30"], home: "exit-1" })).toBe(
      `#!ipxe
# session 0196-a
imgfree
kernel /b/N0nce/vmlinuz initrd=initrd0 initrd=session.cpio console=ttyS0,115200 panic=30 || goto home
initrd /b/N0nce/initrd0 || goto home
initrd /b/N0nce/session.cpio || goto home
boot ||
:home
exit 1
`,
    );
  });

  it("knows a way home for each firmware, and none opens a prompt or the setup screen", () => {
    expect(homeScript("exit")).toBe("#!ipxe\nexit\n");
    expect(homeScript("exit-1")).toBe("#!ipxe\nexit 1\n");
    expect(homeScript("sanboot")).toBe("#!ipxe\nsanboot --no-describe --drive 0x80 ||\nexit\n");
    // biome-ignore lint/suspicious/noTemplateCurlyInString: iPXE's own settings
    expect(homeScript("by-platform")).toBe("#!ipxe\niseq ${platform} efi || goto bios\nexit 1\n:bios\nexit\n");
  });

  it.each([
    "a\rb",
    "a\nb",
    "a\0b",
    "a\u001bb",
    "$" + "{net0/mac}",
    "it's",
    'a"b',
    "a b",
    "a\\b",
    "a||b",
    "a&b",
    "#a",
    "",
    "é",
  ])("refuses %j in whatever it is put into", (text) => {
    const of = { session: "s", folder: "/b/n", kernel: "vmlinuz", initrds: ["i"], args: ["a"], home: "exit" as const };
    expect(() => word(text, "A word")).toThrow(/may only have/);
    expect(() => commandLine([text])).toThrow(/may only have/);
    for (const key of ["session", "folder", "kernel"] as const) {
      expect(() => sessionScript({ ...of, [key]: text })).toThrow(/may only have/);
    }
    expect(() => sessionScript({ ...of, initrds: [text] })).toThrow(/may only have/);
  });

  it("never writes a line that was not its own, whatever it is given", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        let line: string;
        try {
          line = commandLine([text]);
        } catch {
          return;
        }
        expect(line).toMatch(/^[!-~]+$/);
        expect(line).not.toMatch(/[$"'`\\|&;#{}<>]/);
      }),
    );
  });

  it("refuses a command line that x86 kernels would cut", () => {
    expect(() => commandLine(Array.from({ length: 9 }, () => "a".repeat(256)))).toThrow(/2047/);
  });
});
