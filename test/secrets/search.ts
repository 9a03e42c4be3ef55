import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative } from "node:path";

/** What must be nowhere, or (a control) must be found, by the name under which a failure tells of it. */
export type Needles = Record<string, string | Buffer>;

/** How a text may stand in what was written: as it is, as hexadecimal digits, or within something that became base64. */
function formsOf(needle: string | Buffer): Buffer[] {
  const bytes = Buffer.from(needle as string);
  // Base64 of what stands anywhere in a longer text: by its place modulo 3, less the characters that its neighbours share.
  const aligned = [0, 1, 2].flatMap((lead) => {
    const shifted = Buffer.concat([Buffer.alloc(lead), bytes]);
    const text = shifted.subarray(0, shifted.length - (shifted.length % 3)).toString("base64");
    return [
      text.slice(lead === 0 ? 0 : 4),
      text
        .slice(lead === 0 ? 0 : 4)
        .replaceAll("+", "-")
        .replaceAll("/", "_"),
    ];
  });
  return [bytes, ...[...new Set([bytes.toString("hex"), ...aligned])].map((text) => Buffer.from(text))];
}

/** The places that hold a needle, as `PLACE: NAME`. */
export class Haystack {
  readonly found = new Set<string>();
  private readonly forms: { name: string; forms: Buffer[] }[];

  constructor(needles: Needles) {
    this.forms = Object.entries(needles).map(([name, needle]) => ({ name, forms: formsOf(needle) }));
  }

  add(place: string, content: string | Uint8Array): void {
    const bytes = Buffer.from(content as string);
    for (const { name, forms } of this.forms) {
      if (forms.some((form) => bytes.includes(form))) this.found.add(`${place}: ${name}`);
    }
  }

  /** Every file below a part of a folder, by its path in the folder. */
  addFolder(place: string, folder: string, part: string): void {
    for (const path of filesIn(join(folder, part))) {
      try {
        this.add(`${place}/${relative(folder, path)}`, readFileSync(path));
      } catch {
        // It was a file of the moment.
      }
    }
  }

  /** Command line and environment of every process that this one has started, and of those that they have. */
  addChildren(place: string, parent: number): void {
    const parents = new Map<number, number>();
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
        // After the command's name, which may hold anything, come the state and the parent.
        parents.set(Number(pid), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
      } catch {
        // It has ended.
      }
    }
    const isBelow = (pid: number | undefined): boolean =>
      pid !== undefined && (parents.get(pid) === parent || isBelow(parents.get(pid)));
    const own = readFileSync(`/proc/${parent}/cmdline`);
    for (const pid of [...parents.keys()].filter(isBelow)) {
      for (const part of ["cmdline", "environ"]) {
        try {
          // Between fork and exec a child still is its parent.
          if (readFileSync(`/proc/${pid}/cmdline`).equals(own)) continue;
          this.add(place, readFileSync(`/proc/${pid}/${part}`));
        } catch {
          // It has ended.
        }
      }
    }
  }

  /** The command line of every process of this machine. */
  addProcesses(place: string): void {
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      try {
        this.add(place, readFileSync(`/proc/${pid}/cmdline`));
      } catch {
        // It has ended.
      }
    }
  }
}

function filesIn(path: string): string[] {
  try {
    const found = statSync(path);
    if (!found.isDirectory()) return found.isFile() ? [path] : [];
    return readdirSync(path).flatMap((name) => filesIn(join(path, name)));
  } catch {
    return [];
  }
}

/** JSON, and beside it what its bytes hold, which are base64 there. */
export function withBytes(text: string): string {
  const held = [...text.matchAll(/"([A-Za-z0-9+/]{8,}={0,2})"/g)].map(([, bytes]) =>
    Buffer.from(bytes ?? "", "base64"),
  );
  return `${text}\n${Buffer.concat(held).toString("latin1")}`;
}
