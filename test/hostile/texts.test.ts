import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { readClaim } from "../../src/boot/machine-claim.js";
import { parseDocuments, parseYaml } from "../../src/catalogue/documents.js";
import { loadConfig } from "../../src/config.js";
import { keysIn } from "../../src/control/home/ssh.js";
import { Action, paramsOf } from "../../src/domain/action.js";
import { PitstopError } from "../../src/domain/errors.js";
import { fits } from "../../src/domain/machine-identity.js";
import { LabConfig } from "../../src/lab/config.js";
import { freshEntry } from "../../src/site/entry.js";
import { Journal } from "../../src/site/journal.js";
import { MAC, planOf, snapshotOf, UUID } from "../boot/help.js";
import { commandFor } from "../cli/command.js";
import { bounded } from "./attack.js";
import { inBounds } from "./bounds.js";

const folder = mkdtempSync(join(tmpdir(), "pitstop-hostile-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The value, or null where it was refused with a sentence of ours. */
function tried<T>(work: () => T): T | null {
  try {
    return work();
  } catch (error) {
    expect(error, String((error as Error).stack)).toBeInstanceOf(PitstopError);
    expect((error as PitstopError).message.length).toBeLessThan(8_000);
    return null;
  }
}

const TARGET = `kind: Target
name: r1-n07
labels: {rack: r1}
identity: {uuid: ${UUID}, macs: ["${MAC}"]}
control:
  - redfish: {url: "https://bmc", credentials: {env: BMC}}
boot: {firmware: uefi, via: [pxe]}
home: [{tcp: {host: h, port: 22}}]
`;
const pieces = fc.constantFrom(
  ...[
    "&a ",
    "*a",
    "*b",
    "!!binary x",
    "!!set",
    "!!js/function x",
    "<<: *a\n",
    "? ",
    ": ",
    "- ",
    "---\n",
    "...\n",
    "%YAML 1.1\n",
  ],
  ...[
    "\t",
    "{",
    "}",
    "[",
    "]",
    '"',
    "'",
    "|\n",
    ">\n",
    "#",
    "\u0000",
    "\ufeff",
    "~",
    "0x7fffffffffffffff",
    ".nan",
    "1e999",
  ],
  ...["__proto__: {a: 1}\n", "constructor: 1\n", "2026-01-01", "name: r1-n07\n", "kind: Image\n", "\r", "\u2028"],
);
/** A document of a person with something foreign in it. */
const yaml = fc.oneof(
  fc
    .array(fc.tuple(fc.nat(TARGET.length), pieces), { minLength: 1, maxLength: 6 })
    .map((all) => all.reduce((text, [at, piece]) => text.slice(0, at) + piece + text.slice(at), TARGET)),
  fc.tuple(fc.nat(TARGET.length), fc.nat(TARGET.length)).map(([a, b]) => TARGET.slice(Math.min(a, b), Math.max(a, b))),
  fc.array(pieces, { maxLength: 30 }).map((all) => all.join("")),
  fc.string({ unit: "binary" }),
);
const bomb = (levels: number): string =>
  Array.from(
    { length: levels },
    (_, level) => `a${level}: &a${level} [${Array(10).fill(level === 0 ? "x" : `*a${level - 1}`)}]`,
  ).join("\n");

describe("a catalogue file", () => {
  it("is read or refused with a sentence, whatever is in it", { timeout: 90_000 }, async () => {
    await bounded(
      fc.property(yaml, (text) => {
        tried(() => parseDocuments(text, "f.yaml"));
        tried(() => parseYaml(text, "lab.yaml", LabConfig));
      }),
      { numRuns: 400 },
    );
  });

  it.each([
    ["nests twenty thousand levels in brackets", "[".repeat(20_000)],
    ["nests twenty thousand levels in lines", Array.from({ length: 3_000 }, (_, i) => `${" ".repeat(i)}a:`).join("\n")],
    ["unfolds to a billion values", `${TARGET}x:\n${bomb(9)}`],
    ["refers to itself", "kind: &a\n  x: *a\n"],
    ["merges without end", `${"a: &a {<<: *a}\n".repeat(50)}`],
    ["has fifty thousand keys in one mapping", Array.from({ length: 50_000 }, (_, i) => `k${i}: 1`).join("\n")],
    ["has one key fifty thousand times", "k: 1\n".repeat(50_000)],
    ["has a key of four million letters", `${TARGET}${"k".repeat(4_000_000)}: 1`],
    ["has fifty thousand documents", "--- {}\n".repeat(50_000)],
    ["has thirty thousand documents", "--- {}\n".repeat(30_000)],
    ["has four million values in one list", `[${"a,".repeat(4_000_000)}]`],
    ["has four million empty lines", "\n".repeat(4_000_000)],
    ["is larger than 8 MiB", "#".repeat(9 * 1024 * 1024)],
    ["is one long line of quotes", `"${"\\\\".repeat(500_000)}`],
  ])("that %s is refused without a hang", { timeout: 60_000 }, async (_what, text) => {
    expect(await inBounds(() => tried(() => parseDocuments(text, "f.yaml")))).toBeNull();
  });
});

describe("settings", () => {
  it("are usable or refused with a sentence, from a file and from the environment", async () => {
    const file = join(folder, "pitstop.yaml");
    const names = [
      "PITSTOP_LISTEN",
      "PITSTOP_SITE_URL",
      "PITSTOP_DATA",
      "PITSTOP_TOKEN",
      "DATABASE_URL",
      "PITSTOP_SITE",
    ];
    const values = fc.oneof(fc.string(), fc.constantFrom("[::1]:99999", "x:1", "http://a b", "http://[", "..", "-1"));
    await bounded(
      fc.property(yaml, fc.dictionary(fc.constantFrom(...names), values), (text, env) => {
        writeFileSync(file, text);
        tried(() => loadConfig({ ...env, PITSTOP_CONFIG: file }, folder));
        tried(() => loadConfig(env, join(folder, "nowhere")));
      }),
      { numRuns: 300 },
    );
  });

  it.each(["listen: {toString: x}", "site: [a]", `${bomb(9)}`, "[".repeat(20_000), "listen: !!set {a, b}"])(
    "that are no single text are refused: %.40s",
    async (text) => {
      const file = join(folder, "odd.yaml");
      writeFileSync(file, text);
      expect(await inBounds(() => tried(() => loadConfig({ PITSTOP_CONFIG: file }, folder)))).toBeNull();
    },
  );
});

describe("a journal's file", () => {
  const whole = JSON.stringify({ ...freshEntry(planOf(), "run"), snapshot: snapshotOf(planOf().session) });

  it("is loaded, and can be saved again, or is kept, whatever became of it: aside, or in its place as another version's", {
    timeout: 60_000,
  }, async () => {
    const at = fc.nat(whole.length);
    const content = fc.oneof(
      at.map((end) => whole.slice(0, end)),
      fc.tuple(at, fc.string({ unit: "binary" })).map(([i, text]) => whole.slice(0, i) + text + whole.slice(i)),
      fc.tuple(at, at).map(([a, b]) => whole.slice(0, Math.min(a, b)) + whole.slice(Math.max(a, b))),
      fc.json(),
      fc.constant("\0".repeat(4096)),
    );
    let run = 0;
    await bounded(
      fc.asyncProperty(content, async (text) => {
        const journalFolder = join(folder, `journal-${run++}`);
        mkdirSync(journalFolder);
        writeFileSync(join(journalFolder, "r1-n07.json"), text);
        const log = { error: () => undefined };
        const journal = await Journal.open(journalFolder, log).catch((error: PitstopError) => error);
        const [left = ""] = readdirSync(journalFolder);
        const loaded = journal instanceof Journal ? journal.get("r1-n07") : null;
        if (journal instanceof Journal && loaded) {
          expect(Number.isNaN(Date.parse(loaded.absoluteDeadline))).toBe(false);
          await journal.save(loaded);
        } else {
          expect(readFileSync(join(journalFolder, left))).toEqual(Buffer.from(text));
          const isInPlace = journal instanceof Journal ? journal.newer.has("r1-n07") : journal.code === "refused";
          expect(left).toMatch(isInPlace ? /^r1-n07\.json$/ : /^r1-n07\.json\.corrupt-\d+$/);
        }
        rmSync(journalFolder, { recursive: true });
      }),
      { numRuns: 150 },
    );
  });
});

describe("what a machine says of itself when it boots", () => {
  it("is taken or not, and never fits another machine by its form", async () => {
    const identity = { uuid: UUID, macs: [MAC] };
    await bounded(
      fc.property(
        fc.oneof(
          fc.string({ unit: "binary" }),
          fc.webQueryParameters(),
          fc.constantFrom("mac=%zz", "uuid[]=1&mac&mac"),
        ),
        (query) => {
          const claim = readClaim(query);
          expect(fits(identity, { uuid: claim.uuid, macs: claim.mac ? [claim.mac] : [] })).toBe(false);
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it("counts before its serial number only, whatever that has in it", async () => {
    await bounded(
      fc.property(fc.string({ unit: "binary" }), (serial) => {
        const claim = readClaim(`platform=efi&mac=&uuid=&serial=${serial}&uuid=${UUID}&mac=${MAC}`);
        expect([claim.uuid, claim.mac]).toEqual([null, null]);
      }),
      { numRuns: 500 },
    );
  });
});

describe("parameters", () => {
  it("have the value that was given or declared, and none that every object has", () => {
    const declared = { constructor: {}, valueof: { default: "x" } };
    const action = Action.parse({ kind: "Action", name: "a", mode: "active", params: declared });
    expect(() => paramsOf(action, {})).toThrow(/needs the parameter "constructor"/);
    expect(paramsOf(action, { constructor: "given" } as never)).toEqual({ constructor: "given", valueof: "x" });
  });
});

describe("an SSH server's keys", () => {
  it("are read line by line, and none of another form", async () => {
    await bounded(
      fc.property(
        fc.array(fc.oneof(fc.string({ unit: "binary" }), fc.constant(`h ssh-rsa ${"A".repeat(9_000)}`))),
        (lines) => {
          for (const key of keysIn(lines.join("\n"))) expect(key.line).toMatch(/^[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}$/);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("a command line", () => {
  it("ends with one of the five codes and a sentence without control characters", { timeout: 120_000 }, async () => {
    const run = commandFor("http://127.0.0.1:1");
    const commands = ["get", "delete", "run", "session", "campaign", "schedule", "apply", "image", "help"];
    const words = fc.oneof(
      fc.constantFrom(
        ...[
          "show",
          "list",
          "abort",
          "logs",
          "release",
          "supply",
          "start",
          "verify",
          "target",
          "targets",
          "r1-n07",
          "--",
          "-",
        ],
        ...[
          "--action",
          "--param",
          "a=b",
          "=",
          "--json",
          "-o",
          "yaml",
          "-f",
          "/nonexistent",
          "--wait",
          "--help",
          "--reason",
          "..",
        ],
      ),
      fc.string({ unit: "binary", maxLength: 30 }),
    );
    await bounded(
      fc.asyncProperty(fc.constantFrom(...commands), fc.array(words, { maxLength: 6 }), async (command, more) => {
        const said = await run([command, ...more]);
        expect([0, 1, 2, 3, 4], said.err).toContain(said.exit);
        expect(said.err).not.toContain("Something that should not happen");
        expect(said.err).not.toMatch(/(?![\t\n])\p{Cc}/u);
        if (said.exit !== 0) expect(said.err.trim()).not.toBe("");
      }),
      { numRuns: 250 },
    );
  });
});
