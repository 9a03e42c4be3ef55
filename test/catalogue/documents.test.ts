import { describe, expect, it } from "vitest";
import { parseDocuments } from "../../src/catalogue/documents.js";
import { nearest } from "../../src/catalogue/explain.js";
import type { PitstopError } from "../../src/domain/errors.js";

const TARGET = `kind: Target
name: r1-n07
labels: {rack: r1, role: worker}
identity: {uuid: 4C4C4544-0042-4a10-8052-b2c04f000001, macs: ["52-54-00-12-34-01"]}
control:
  - redfish:
      url: "https://bmc-r1-n07"
      system: "1"
      credentials: {env: BMC_R1}
boot: {firmware: uefi, via: [uefi-http, pxe]}
home:
  - http: {url: "http://r1-n07/health", contains: ok}
`;

const complain = (text: string, file = "targets.yaml"): string => {
  try {
    parseDocuments(text, file);
  } catch (error) {
    expect((error as PitstopError).code).toBe("invalid");
    return (error as Error).message;
  }
  return "no complaint";
};
const edited = (from: string, to: string) => {
  expect(TARGET).toContain(from);
  return complain(TARGET.replace(from, to));
};

describe("documents from YAML", () => {
  it("reads several of a file, with defaults filled in and forms made one", () => {
    const action = "---\n# a comment\nkind: Action\nname: reboot-only\nmode: passive\n---\n";
    const [target, second, ...rest] = parseDocuments(TARGET + action, "t.yaml");
    expect(rest).toEqual([]);
    expect(target).toMatchObject({
      site: "default",
      identity: { uuid: "4c4c4544-0042-4a10-8052-b2c04f000001", macs: ["52:54:00:12:34:01"] },
      shutdown: { graceful: "180s", then: "abort" },
    });
    expect(second).toMatchObject({ kind: "Action", name: "reboot-only" });
  });

  describe("an image", () => {
    const file = `{url: "file:images/x", sha256: "${"0".repeat(64)}"}`;
    const head = "kind: Image\nname: base\nrole: maintenance\narch: x86_64\n";
    const linux = `${head}kernel: ${file}\ninitrds: [${file}]\n`;

    it("with a kernel and initrds has the form linux, said or not", () => {
      for (const text of [linux, `${linux}form: linux\n`]) {
        expect(parseDocuments(text, "i.yaml")).toMatchObject([{ form: "linux", cmdline: [] }]);
      }
    });

    it.each([
      ["uki", "a unified kernel image"],
      ["iso", "an ISO"],
      ["program", "an EFI or BIOS program"],
    ])("of the form %s is refused in one sentence, whatever else it says", (form, what) => {
      const sentence = `i.yaml:5:7: form: ${what} is not yet booted; give kernel and initrds.`;
      expect(complain(`${head}form: ${form}\n${form}: ${file}\n`, "i.yaml")).toBe(sentence);
    });

    it("of another form is told the forms", () => {
      expect(complain(`${linux}form: floppy\n`, "i.yaml")).toContain("form: it is linux, uki, iso or program");
    });
  });

  it("takes anchors and aliases", () => {
    const text = TARGET.replace("labels: {rack", "labels: &l {rack");
    expect(parseDocuments(text, "t.yaml")).toHaveLength(1);
  });

  it.each(["abc", "10", "-1s", "\u0967\u0968s", "1e9d", "31d"])("refuses the duration %s in a sentence", (text) => {
    expect(complain(`${TARGET}shutdown: {graceful: "${text}"}\n`)).toMatch(
      /shutdown\.graceful: .*a duration is (a number and ms, s, m, h or d|at most 30d)/,
    );
  });

  it("a diskless target is refused", () => {
    expect(complain(`${TARGET}normal: {disk: false}\n`)).toContain("normal.disk");
  });

  it.each([
    [
      "a URL of the wrong form",
      'url: "https://bmc-r1-n07"',
      "url: bmc-r1-n07",
      "targets.yaml:7:12: control[0].redfish.url: an http:// or https:// URL without a user or password in it.",
    ],
    [
      "a missing field, where its mapping begins",
      "      credentials: {env: BMC_R1}\n",
      "",
      "targets.yaml:7:7: control[0].redfish.credentials: this field is missing.",
    ],
    [
      "an unknown field, with the nearest known one",
      "      system:",
      "      sytem:",
      "targets.yaml:8:7: control[0].redfish.sytem: there is no such field; the nearest one is system.",
    ],
    [
      "an unknown field that is near to none",
      "labels:",
      "zzzzzz:",
      "targets.yaml:3:1: zzzzzz: there is no such field; the fields here are kind, name, labels, site, identity, control, boot, shutdown, normal, home.",
    ],
    [
      "a mistyped form of a control",
      "  - redfish:",
      "  - redfsh:",
      "targets.yaml:6:5: control[0].redfsh: there is no such field; the nearest one is redfish.",
    ],
    [
      "a form of home check that does not exist",
      "  - http:",
      "  - telepathy:",
      "targets.yaml:12:5: home[0].telepathy: there is no such field; the forms here are http, ssh, tcp.",
    ],
    [
      "a wrong kind",
      "kind: Target",
      "kind: Targt",
      'targets.yaml:1:7: kind: there is no "Targt"; the nearest one is Target.',
    ],
    ["no kind", "kind: Target\n", "", "targets.yaml:1:1: kind: this field is missing; it is Target, Image or Action."],
    [
      "a value that is not among the choices",
      "firmware: uefi",
      "firmware: efi",
      'targets.yaml:10:18: boot.firmware: there is no "efi"; the nearest one is uefi.',
    ],
    [
      "a number for a text",
      "name: r1-n07",
      "name: 107",
      "targets.yaml:2:7: name: text is expected here, and this is a number; put it in quotes.",
    ],
    [
      "a mapping for a list",
      "via: [uefi-http, pxe]",
      "via: {a: 1}",
      "targets.yaml:10:29: boot.via: a list is expected here, and this is a mapping.",
    ],
    [
      "an empty value",
      'system: "1"',
      "system:",
      "targets.yaml:8:14: control[0].redfish.system: text is expected here, and this is empty.",
    ],
    [
      "an empty list",
      "via: [uefi-http, pxe]",
      "via: []",
      "targets.yaml:10:29: boot.via: at least 1 entry is needed here.",
    ],
    [
      "a label's key",
      "{rack: r1",
      '{"ra ck": r1',
      "targets.yaml:3:10: labels.ra ck: a label key is letters, digits, '.', '_', '/' and '-'.",
    ],
    [
      "a rule between fields",
      "firmware: uefi",
      "firmware: bios",
      "targets.yaml:10:29: boot.via: uefi-http needs firmware: uefi.",
    ],
    [
      "a bad MAC address in a list",
      '"52-54-00-12-34-01"',
      '"52:54"',
      "targets.yaml:4:63: identity.macs[0]: a MAC address is six pairs of hexadecimal digits.",
    ],
    [
      "a UUID that identifies nothing",
      "4C4C4544-0042-4a10-8052-b2c04f000001",
      "00000000-0000-0000-0000-000000000000",
      "targets.yaml:4:18: identity.uuid: a UUID of only zeros or only Fs identifies no machine.",
    ],
    [
      "a duplicate key",
      "name: r1-n07\n",
      "name: r1-n07\nname: r1-n08\n",
      "targets.yaml:3:1: this key is there twice; keep one of the two.",
    ],
    ["a tab", "      system:", "\t\tsystem:", "targets.yaml:8:1: a tab is used to indent; YAML wants spaces."],
    [
      "an unclosed bracket",
      "via: [uefi-http, pxe]}",
      "via: [uefi-http, pxe}",
      "targets.yaml:10:44: this is not valid YAML: flow sequence in block collection must be sufficiently indented and end with a ].",
    ],
    [
      "an alias without an anchor",
      "labels: {rack: r1, role: worker}",
      "labels: *common",
      "targets.yaml:1:1: the alias *common has no anchor &common before it.",
    ],
    ["a tag", "name: r1-n07", "name: !vault r1-n07", "targets.yaml:2:7: unresolved tag: !vault; take it out."],
  ])("tells of %s with its place", (_what, from, to, sentence) => {
    expect(edited(from, to)).toBe(sentence);
  });

  it("follows an alias to the field that is wrong", () => {
    const text = TARGET.replace("credentials: {env: BMC_R1}", "credentials: &c {env: 1BMC}");
    expect(complain(text)).toBe(
      "targets.yaml:9:29: control[0].redfish.credentials.env: an environment variable's name.",
    );
  });

  it("says how many more problems the document has, and tells all of them as facts", () => {
    const text = TARGET.replace("name: r1-n07", "name: R1").replace("firmware: uefi", "firmware: coreboot");
    try {
      parseDocuments(text, "targets.yaml");
      expect.unreachable();
    } catch (error) {
      expect((error as Error).message).toMatch(/^targets\.yaml:2:7: name: .* \(and 1 more in this document\)\.$/);
      expect((error as PitstopError).facts).toMatchObject({
        problems: [{ field: "name" }, { field: "boot.firmware" }],
      });
    }
  });

  it.each([
    ["", "nothing"],
    ["# only a comment\n", "a comment"],
    ["---\n---\n", "empty documents"],
  ])("refuses a file with no document in it: %j", (text) => {
    expect(complain(text)).toBe("targets.yaml:1:1: there is nothing in this file; write a document into it.");
  });

  it("refuses what is not a mapping", () => {
    expect(complain("just words\n")).toBe("targets.yaml:1:1: a mapping is expected here, and this is text.");
    expect(complain("- kind: Target\n")).toBe("targets.yaml:1:1: a mapping is expected here, and this is a list.");
  });

  it("refuses one name twice in a file, and says where the first is", () => {
    expect(complain(`${TARGET}---\n${TARGET}`)).toBe(
      "targets.yaml:14:1: name: Target r1-n07 is in this file already, at targets.yaml:1:1; keep one of the two.",
    );
  });

  it("counts lines over the documents of a file", () => {
    expect(complain(`${TARGET}---\nkind: Image\nname: x\nrole: maintenanc\n`)).toMatch(
      /^targets\.yaml:14:1: arch: this field is missing/,
    );
  });

  it("stops an alias bomb at once", () => {
    const level = (n: number) =>
      `  ${"abcdefgh"[n]}: &${"abcdefgh"[n]} [${Array(12)
        .fill(n ? `*${"abcdefgh"[n - 1]}` : "x")
        .join(", ")}]`;
    const bomb = `kind: Target\nlabels:\n${Array.from({ length: 8 }, (_, n) => level(n)).join("\n")}\n`;
    const before = performance.now();
    expect(complain(bomb)).toBe("targets.yaml:1:1: its aliases unfold to too much; write the values out.");
    expect(performance.now() - before).toBeLessThan(15_000);
  });

  it("refuses a file that is too large to be meant", () => {
    expect(complain("#".repeat(8 * 1024 * 1024 + 1))).toBe(
      "targets.yaml is larger than 8 MiB; divide it into several files.",
    );
    expect(complain(`[${"a,".repeat(100_000)}]`)).toBe(
      "targets.yaml has more than 200000 words and marks; divide it into several files.",
    );
  });

  it("reads a fleet of a thousand targets from one file", () => {
    const fleet = Array.from({ length: 1_000 }, (_, i) => TARGET.replace("name: r1-n07", `name: r1-n${i}`));
    expect(parseDocuments(fleet.join("---\n"), "fleet.yaml")).toHaveLength(1_000);
  });

  it("ignores Windows line ends and a byte order mark", () => {
    expect(parseDocuments(`\uFEFF${TARGET.replaceAll("\n", "\r\n")}`, "t.yaml")).toHaveLength(1);
  });
});

describe("the nearest word", () => {
  it("is near", () => {
    expect(nearest("Targets", ["Target", "Image"])).toBe("Target");
    expect(nearest("labls", ["labels", "limits"])).toBe("labels");
    expect(nearest("qqqqqq", ["labels"])).toBeNull();
  });

  it.each(["../token", "base/../../token", "base/%2e%2e/x", "..%2Ftoken", "./vmlinuz"])(
    "refuses an image whose file leaves the image folder: %s",
    (path) => {
      const file = (url: string) => `{url: "${url}", sha256: ${"a".repeat(64)}}`;
      const image = (url: string) =>
        `kind: Image\nname: i\nrole: maintenance\narch: x86_64\nkernel: ${file(url)}\ninitrds: [${file("file:images/base..v2/initrd")}]\n`;
      expect(complain(image("file:images/base/vmlinuz"))).toBe("no complaint");
      expect(complain(image(`file:images/${path}`), "i.yaml")).toBe(
        "i.yaml:5:15: kernel.url: a file: URL stays in images/, without . or .. in its path.",
      );
    },
  );
});
