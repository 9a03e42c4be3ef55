import type { SessionRecord } from "../domain/record.js";
import { endingStyle, sayOutcome, sayRemedy, sayWaiting } from "./ending.js";
import { inventorySummary } from "./inventory.js";
import type { Io } from "./io.js";
import { clock, duration, facts, paint, plain, table, when } from "./output.js";

/** A session's record for a person. Findings are named (`-o json` has all); an inventory is summed up. */
export function showRecord(io: Io, record: SessionRecord): string {
  const phases = table(
    io,
    [
      { title: "PHASE", cell: (p) => p.name },
      { title: "BEGAN", cell: (p) => clock(p.startedAt) },
      {
        title: "TOOK",
        cell: (p) =>
          p.endedAt ? duration(Date.parse(p.endedAt) - Date.parse(p.startedAt)) : sinceThen(p.startedAt, record),
      },
    ],
    record.phases,
  );
  return [
    facts(io, head(io, record)),
    inventorySummary(io, record),
    phases,
    tasks(io, record),
    powerActions(io, record),
  ]
    .filter((part) => part !== "")
    .join("\n");
}

/** An ended session's last phase has no length; an open one's grows. */
const sinceThen = (iso: string, record: SessionRecord): string =>
  record.endedAt === null ? `${duration(Date.now() - Date.parse(iso))} so far` : "-";

function head(io: Io, record: SessionRecord): [string, string][] {
  const style = endingStyle(record);
  const state = style ? paint(io, style, record.phase) : record.phase;
  const pairs: [string, string | null][] = [
    ["session", record.session],
    ["target", record.target],
    ["action", record.action ?? "none: only brings the target home"],
    ["image", record.image],
    ["campaign", record.campaign],
    ["by", record.requestedBy],
    ["started", when(record.startedAt)],
    ["ended", record.endedAt && when(record.endedAt)],
    ["phase", state],
    ["waiting", sayWaiting(record)],
    ["outcome", record.outcome && sayOutcome(record.outcome)],
    ["failure", record.failure?.message ?? null],
    ["stranded", record.stranded?.message ?? null],
    ["released", record.released && `by ${record.released.by}: ${record.released.reason}`],
    ["home", record.ending === null ? null : homeText(record)],
    ["restore", restoreText(record)],
    ["findings", record.findings && Object.keys(record.findings).join(", ")],
    ["diagnosis", record.diagnoses.at(-1)?.summary ?? null],
    ["notes", record.notes.length > 0 ? record.notes.join("\n") : null],
    ["then", record.phase === "stranded" || record.waitingFor ? sayRemedy(record) : null],
  ];
  // The phase alone carries a style of ours; everything else is somebody's text.
  return pairs.flatMap(([label, value]) =>
    value === null || value === "" ? [] : [[label, label === "phase" ? value : plain(value)] as [string, string]],
  );
}

function homeText(record: SessionRecord): string {
  const { home } = record;
  const checks = home.checks.map(
    (check) => `${check.check}: ${check.answered ? "answered" : (check.reason ?? "no answer")}`,
  );
  return [
    home.proved ? `proved (${home.strength})` : `not proved: ${home.reason ?? "no check answered"}`,
    ...checks,
  ].join("\n");
}

function restoreText(record: SessionRecord): string | null {
  const { restore } = record;
  if (restore.before === null || restore.after === null) return null;
  const differences = restore.differences.map(
    (d) => `${d.field}: was ${JSON.stringify(d.before)}, is ${JSON.stringify(d.after)}`,
  );
  const added = restore.added.map((entry) => `boot order: the firmware added ${entry}`);
  return [differences.length === 0 ? "as it was" : `${differences.length} differences`, ...differences, ...added].join(
    "\n",
  );
}

function tasks(io: Io, record: SessionRecord): string {
  if (record.tasks.length === 0) return "";
  return table(
    io,
    [
      { title: "TASK", cell: (t) => t.name },
      {
        title: "STATUS",
        cell: (t) => sayOutcome(t.status),
        style: (t) => (t.status === "succeeded" ? "green" : "yellow"),
      },
      { title: "TOOK", cell: (t) => duration(t.durationMs) },
      { title: "WHY", cell: (t) => t.reason ?? "" },
    ],
    record.tasks,
  );
}

function powerActions(io: Io, record: SessionRecord): string {
  if (record.powerActions.length === 0) return "";
  return table(
    io,
    [
      { title: "POWER", cell: (p) => (p.result === "done" ? p.what : `${p.what}, ${p.result}`) },
      { title: "AT", cell: (p) => clock(p.at) },
      { title: "WHY", cell: (p) => p.why },
    ],
    record.powerActions,
  );
}
