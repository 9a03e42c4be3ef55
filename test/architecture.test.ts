import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, it } from "vitest";

/** The arrows between the rooms: who may import whom. A room not named here is an error. */
const MAY_IMPORT: Record<string, string[]> = {
  "src/domain": [],
  "src/config.ts": ["src/domain"],
  "src/cache-folder.ts": [],
  "src/data-folder.ts": ["src/domain"],
  "src/free-port.ts": [],
  "src/processes.ts": [],
  "src/process-lock.ts": ["src/domain", "src/processes.ts"],
  "src/catalogue": ["src/domain", "src/processes.ts", "src/process-lock.ts"],
  "src/stores": ["src/domain"],
  "src/control": ["src/domain"],
  "src/ways": ["src/domain", "src/control"],
  "src/site": ["src/domain", "src/stores", "src/ways", "src/process-lock.ts"],
  "src/boot": ["src/domain", "src/stores", "src/ways", "src/site"],
  "src/agent": ["src/domain", "src/stores", "src/site"],
  "src/temporal": ["src/domain", "src/free-port.ts", "src/processes.ts", "workflows"],
  "src/api": ["src/domain", "src/catalogue", "src/temporal", "src/config.ts"],
  "src/cli": ["src/domain", "src/config.ts", "src/data-folder.ts"],
  "src/lab": ["src/domain", "src/free-port.ts"],
  workflows: ["src/domain", "src/ways", "activities"],
  activities: [
    ...["src/domain", "src/catalogue", "src/stores", "src/control", "src/ways"],
    ...["src/site", "src/boot", "src/agent"],
  ],
  workers: ["*"],
};

/** Single files that another room may import in spite of its arrows, and why. */
const EXCEPTIONS: Record<string, string> = {
  "src/cli -> src/api/client.ts": "the CLI talks REST only, through the API's own client",
  "src/cli -> src/api/messages.ts": "types only: the client's language",
  "src/cli -> src/api/events.ts": "types only: the client's language",
  "src/cli -> src/catalogue/embedded/look.ts":
    "doctor looks at this machine's database, which a server that is down cannot tell of",
  "src/cli -> workers/serve.ts": "the command dispatches to the processes",
  "src/cli -> workers/lab.ts": "the command dispatches to the processes",
  "src/temporal -> src/site/session-link.ts": "types only: the site's link to its sessions",
  "src/temporal -> src/site/entry.ts": "types only: what the link tells of",
};

const root = resolve(import.meta.dirname, "..");

function filesBelow(folder: string): string[] {
  return readdirSync(join(root, folder)).flatMap((name) => {
    const path = join(folder, name);
    if (statSync(join(root, path)).isDirectory()) return filesBelow(path);
    return path.endsWith(".ts") ? [path] : [];
  });
}

const roomOf = (file: string): string => {
  const parts = file.split("/");
  return parts[0] === "src" ? parts.slice(0, 2).join("/") : (parts[0] ?? "");
};

interface Import {
  from: string;
  to: string;
  typeOnly: boolean;
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(root, file), "utf8");
  const found = text.matchAll(
    /^\s*(?:import|export)\s+(type\s)?[^;]*?from\s+"(\.[^"]+)"|import\("(\.[^"]+)"\)|^import\s+"(\.[^"]+)"/gm,
  );
  return [...found].map((match) => ({
    from: file,
    to: relative(root, resolve(root, dirname(file), (match[2] ?? match[3] ?? match[4]) as string)).replace(
      /\.js$/,
      ".ts",
    ),
    typeOnly: match[1] !== undefined,
  }));
}

const all = ["src", "workflows", "activities", "workers"].flatMap(filesBelow).flatMap(importsOf);

describe("the arrows between the rooms", () => {
  it("every import stays in its room or follows an arrow", () => {
    const wrong = all.filter(({ from, to }) => {
      const [a, b] = [roomOf(from), roomOf(to)];
      const allowed = MAY_IMPORT[a];
      if (!allowed) return true;
      if (a === b || allowed.includes("*") || allowed.includes(b)) return false;
      return !(`${a} -> ${to}` in EXCEPTIONS);
    });
    expect(wrong.map(({ from, to }) => `${from} imports ${to}`)).toEqual([]);
  });

  it("workflows replay no values but ids, messages, completions and the Temporal SDK, and never zod", () => {
    const replayed = new Set(filesBelow("workflows"));
    // A set goes on to what is added meanwhile: what a replayed file imports is replayed too.
    for (const file of replayed) {
      for (const { from, to, typeOnly } of all) if (from === file && !typeOnly) replayed.add(to);
    }
    const outside = [...replayed].filter((file) => roomOf(file) !== "workflows").sort();
    const completions = ["completion", "completions", "done", "tasks"].map((name) => `src/ways/${name}.ts`);
    expect(outside).toEqual(["src/domain/ids.ts", ...completions]);
    const packages = [...replayed].flatMap((file) =>
      [...readFileSync(join(root, file), "utf8").matchAll(/from "([^".][^"]*)"/g)].map((match) => match[1]),
    );
    expect([...new Set(packages)].sort()).toEqual(["@temporalio/common", "@temporalio/workflow"]);
  });

  it("a boot way asks a control by its types alone", () => {
    const values = all.filter(
      ({ from, to, typeOnly }) => roomOf(from) === "src/ways" && !typeOnly && roomOf(to) === "src/control",
    );
    expect(values.map(({ from, to }) => `${from} imports ${to}`)).toEqual([]);
  });

  it("sees imports at all", () => {
    expect(all.length).toBeGreaterThan(50);
  });

  it("names every room in the table, and no room that does not exist", () => {
    const rooms = new Set(["src", "workflows", "activities", "workers"].flatMap(filesBelow).map(roomOf));
    expect([...rooms].sort()).toEqual(Object.keys(MAY_IMPORT).sort());
  });
});
