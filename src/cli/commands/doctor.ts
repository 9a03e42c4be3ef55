import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import type { Readiness } from "../../api/messages.js";
import type { Config } from "../../config.js";
import { lookAtDataFolder } from "../../data-folder.js";
import { messageOf } from "../../domain/errors.js";
import { configOf, connect, serverUrl } from "../client.js";
import { EXIT } from "../exit.js";
import type { Io } from "../io.js";
import { paint, structured } from "../output.js";

interface Finding {
  what: string;
  /** `note`: worth knowing, and nothing is broken by it. */
  state: "ok" | "note" | "bad";
  detail: string;
}

/** The groups of OS packages as the set-up scripts have them: a package's name, and what shows that it is there. */
interface SetUp {
  OS_PACKAGES: Record<string, [name: string, probe: string][]>;
  has(probe: string, path?: string): boolean;
}

export function doctorCommand(program: Command, io: Io, run: (work: () => Promise<number>) => Promise<void>): void {
  program
    .command("doctor")
    .description("look at what Pitstop needs on this machine, and at the server")
    .option("--json", "print the findings as JSON")
    .action((options: { json?: boolean }) => run(() => doctor(io, options.json === true)));
}

async function doctor(io: Io, json: boolean): Promise<number> {
  const config = configOf(io);
  const server = await lookAtServer(io, serverUrl(config));
  const open = await lookAtOpenSessions(config);
  const findings = [
    lookAtNode(),
    await lookAtData(config),
    ...(await lookAtDatabase(config)),
    ...(await lookAtPackages(io)),
    ...server,
    ...open,
  ];
  if (json) io.out(structured(findings, "json"));
  else {
    const marks = { ok: paint(io, "green", "ok  "), note: paint(io, "yellow", "note"), bad: paint(io, "red", "bad ") };
    for (const { what, state, detail } of findings) io.out(`${marks[state]} ${what}: ${detail}\n`);
  }
  const bad = findings.filter(({ state }) => state === "bad");
  if (bad.length === 0) return EXIT.done;
  return bad.every(({ what }) => what === "server") ? EXIT.unreachable : EXIT.workFailed;
}

function lookAtNode(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const ok = major > 20 || (major === 20 && minor >= 19);
  return {
    what: "node",
    state: ok ? "ok" : "bad",
    detail: ok ? process.versions.node : `${process.versions.node}; install 20.19 or later`,
  };
}

async function lookAtData(config: Config): Promise<Finding> {
  const probe = join(config.PITSTOP_DATA, `.doctor.${process.pid}`);
  // A client's machine has no data folder, and looking must not make one.
  if (!existsSync(config.PITSTOP_DATA)) {
    return {
      what: "data folder",
      state: "note",
      detail: `${config.PITSTOP_DATA} is not there; pitstop serve makes it`,
    };
  }
  try {
    writeFileSync(probe, "");
    rmSync(probe);
    const { open, foreign } = await lookAtDataFolder(config.PITSTOP_DATA);
    const [alien] = foreign;
    if (alien) {
      const detail = `${alien.path} belongs to the user ${alien.uid}, not to the owner of ${config.PITSTOP_DATA}; pitstop serve refuses that`;
      return { what: "data folder", state: "bad", detail };
    }
    if (open[0]) {
      const detail = `other users have rights to ${open[0]}${open.length > 1 ? ` and ${open.length - 1} more` : ""}; pitstop serve takes them away`;
      return { what: "data folder", state: "note", detail };
    }
    return { what: "data folder", state: "ok", detail: `${config.PITSTOP_DATA} is its owner's alone` };
  } catch (error) {
    return {
      what: "data folder",
      state: "bad",
      detail: `${config.PITSTOP_DATA} cannot be written (${messageOf(error)}); give PITSTOP_DATA another folder, or this user the right`,
    };
  }
}

/** Only on the server's machine: the database that `serve` uses. One that DATABASE_URL names is told of by the server. */
async function lookAtDatabase(config: Config): Promise<Finding[]> {
  if (config.DATABASE_URL || !existsSync(config.PITSTOP_DATA)) return [];
  const { lookAtEmbedded } = await import("../../catalogue/embedded/look.js");
  const { ok, detail } = await lookAtEmbedded(config.PITSTOP_DATA);
  return [{ what: "embedded database", state: ok ? "ok" : "bad", detail }];
}

/** What is missing keeps the lab or the image recipes from working; a server for real machines needs none of it. */
async function lookAtPackages(io: Io): Promise<Finding[]> {
  const list = new URL("../../../../scripts/setup.mjs", import.meta.url);
  if (!existsSync(list))
    return [{ what: "OS packages", state: "note", detail: "not looked at: the set-up scripts are not installed" }];
  const { OS_PACKAGES, has } = (await import(list.href)) as SetUp;
  return Object.entries(OS_PACKAGES).map(([group, packages]) => {
    const missing = packages.filter(([, probe]) => !has(probe, io.env.PATH)).map(([name]) => name);
    return missing.length === 0
      ? { what: `packages for ${group}`, state: "ok", detail: "all there" }
      : {
          what: `packages for ${group}`,
          state: "note",
          detail: `missing ${missing.join(" ")}; apt-get install them for that`,
        };
  });
}

/** Only on the server's machine: whether this build, when it is started, goes on with the sessions that are open now. */
async function lookAtOpenSessions(config: Config): Promise<Finding[]> {
  const what = "open sessions";
  if (!existsSync(join(config.PITSTOP_DATA, "temporal", "server.json")) && !process.env.TEMPORAL_ADDRESS) return [];
  try {
    const module = new URL("../../../workers/replay-check.js", import.meta.url).href;
    const check = (await import(module)) as {
      lookAtOpenSessions(config: Config): Promise<{ open: number; replayed: number; broken: object[] } | null>;
      sentenceOf(report: object): string;
    };
    const report = await check.lookAtOpenSessions(config);
    if (!report) return [];
    if (report.broken.length > 0) return [{ what, state: "bad", detail: check.sentenceOf(report) }];
    return [
      { what, state: "ok", detail: `${report.replayed} of ${report.open} replayed; this version goes on with them` },
    ];
  } catch (error) {
    return [{ what, state: "note", detail: `not replayed: ${messageOf(error)}` }];
  }
}

async function lookAtServer(io: Io, url: string): Promise<Finding[]> {
  const client = connect(io);
  let readiness: Readiness;
  try {
    readiness = await client.ready();
  } catch (error) {
    return [{ what: "server", state: "bad", detail: messageOf(error) }];
  }
  const findings: Finding[] = [{ what: "server", state: "ok", detail: `answers at ${url}` }];
  for (const { name, ok, detail } of readiness.checks) findings.push({ what: name, state: ok ? "ok" : "bad", detail });
  try {
    await client.sessions({ limit: 1 });
    findings.push({ what: "token", state: "ok", detail: "accepted" });
  } catch (error) {
    findings.push({ what: "token", state: "bad", detail: messageOf(error) });
  }
  return findings;
}
