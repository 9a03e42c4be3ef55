import type { PhaseTime } from "../domain/session.js";
import { endingStyle, isSettled, sayEnding, sayWaiting } from "./ending.js";
import type { Followed, FollowListener } from "./follow.js";
import type { Io } from "./io.js";
import { clock, duration, paint, plain } from "./output.js";

/** Shows sessions that are followed; `end` is called once, when the last is settled or the waiting stops. */
export interface Progress extends FollowListener {
  begin(sessions: Followed["started"][]): void;
  end(): void;
}

/** For `--json`: standard output is the records' alone. */
export const silentProgress: Progress = { begin() {}, changed() {}, progressed() {}, away() {}, end() {} };

/** For files and pipes: `12:00:01 rebooting`, one line a phase; with several sessions the target is named. */
export function lineProgress(io: Io): Progress {
  let several = false;
  let wasAway = false;
  const told = new Map<string, PhaseTime[]>();
  const ended = new Set<string>();
  const lastWords = new Map<string, string>();
  const waited = new Map<string, string | null>();
  const line = (at: string, followed: Followed, text: string) =>
    io.out(`${clock(at)} ${several ? `${followed.started.target} ` : ""}${plain(text)}\n`);
  return {
    begin(sessions) {
      several = sessions.length > 1;
      for (const { target, session } of sessions)
        io.out(`${clock(new Date().toISOString())} ${target} session ${session}\n`);
    },
    changed(followed) {
      const { session } = followed.started;
      for (const phase of untold(followed.phases, told.get(session) ?? [])) line(phase.startedAt, followed, phase.name);
      told.set(session, followed.phases);
      const waiting = followed.record && sayWaiting(followed.record);
      if (waiting && waited.get(session) !== waiting)
        line(followed.record?.waitingFor?.since ?? "", followed, `  ${waiting}`);
      waited.set(session, waiting);
      if (followed.record && isSettled(followed.record) && !ended.has(session)) {
        ended.add(session);
        const at = followed.record.endedAt ?? new Date().toISOString();
        io.out(`${clock(at)} ${plain(sayEnding(followed.record))}\n`);
      }
    },
    progressed(followed, event) {
      // A percentage that creeps is for eyes; a file gets each thing once.
      const words = [event.task, event.message || event.what].filter((part) => part !== null).join(": ");
      if (lastWords.get(event.session) === words) return;
      lastWords.set(event.session, words);
      line(event.at, followed, `  ${words}`);
    },
    away(isAway) {
      if (isAway !== wasAway)
        io.out(
          `${clock(new Date().toISOString())} ${isAway ? "the server does not answer; waiting for it" : "the server answers again"}\n`,
        );
      wasAway = isAway;
    },
    end() {},
  };
}

/**
 * The phases that were not told yet: the second `arming` after one was told is new. Events may leave out a short phase that
 * the record then has in its place, so what is new need not stand at the end.
 */
function untold(phases: PhaseTime[], told: PhaseTime[]): PhaseTime[] {
  const left = told.map(({ name }) => name);
  return phases.filter(({ name }) => {
    const at = left.indexOf(name);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}

const FRAME_MS = 120;
const SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏";
const HIDE_CURSOR = "\u001b[?25l";
const SHOW_CURSOR = "\u001b[?25h";

/** For a terminal: the phases of one session with their times, or a line for each of several, repainted in place. */
export function liveProgress(io: Io): Progress {
  const sessions = new Map<string, Followed>();
  let painted = 0;
  let frame = 0;
  let isAway = false;
  let timer: NodeJS.Timeout | undefined;

  const draw = (last: boolean) => {
    frame += 1;
    const all = [...sessions.values()];
    const lines =
      all.length === 1 ? all.flatMap((one) => phaseLines(io, one, frame)) : all.map((one) => oneLine(io, one, frame));
    if (isAway) lines.push(paint(io, "yellow", "the server does not answer; waiting for it"));
    // What does not fit cannot be repainted; the last lines are the ones that move. At the end all is shown.
    const shown = last ? lines : lines.slice(-Math.max(1, io.rows() - 1));
    const cut = shown.map((text) => `${last ? text : cutTo(text, io.columns() - 1)}\u001b[K\n`).join("");
    io.out(`${painted > 0 ? `\u001b[${painted}A` : ""}\r${cut}\u001b[J`);
    painted = shown.length;
  };
  const keep = (followed: Followed) => void sessions.set(followed.started.session, followed);
  return {
    begin(started) {
      for (const one of started) keep({ started: one, record: null, phases: [], progress: null });
      io.out(HIDE_CURSOR);
      timer = setInterval(() => draw(false), FRAME_MS);
      draw(false);
    },
    changed: keep,
    progressed: keep,
    away(away) {
      isAway = away;
    },
    end() {
      clearInterval(timer);
      draw(true);
      io.out(SHOW_CURSOR);
    },
  };
}

const spinner = (frame: number): string => SPINNER[frame % SPINNER.length] ?? "";

function phaseLines(io: Io, followed: Followed, frame: number): string[] {
  const { started, record } = followed;
  const settled = record !== null && isSettled(record);
  const title = `${paint(io, "bold", started.target)} ${paint(io, "dim", `session ${started.session}`)}`;
  const lines = followed.phases
    .filter((phase) => !(settled && ["restored", "released", "stranded"].includes(phase.name)))
    .map((phase) => {
      const running = phase.endedAt === null && !settled;
      const end = phase.endedAt === null ? Date.now() : Date.parse(phase.endedAt);
      const took = duration(end - Date.parse(phase.startedAt)).padStart(8);
      const mark = running ? paint(io, "cyan", spinner(frame)) : paint(io, "green", "✔");
      const waiting = running && record ? sayWaiting(record) : null;
      const said = waiting
        ? paint(io, "yellow", plain(waiting))
        : followed.progress && paint(io, "dim", plain(followed.progress));
      const words = running && said ? `  ${said}` : "";
      return `  ${mark} ${phase.name.padEnd(10)} ${paint(io, "dim", clock(phase.startedAt))} ${took}${words}`;
    });
  if (lines.length === 0) lines.push(`  ${paint(io, "cyan", spinner(frame))} starting`);
  if (record && settled) lines.push(`  ${endMark(io, record)} ${plain(sayEnding(record))}`);
  return [title, ...lines];
}

function oneLine(io: Io, followed: Followed, frame: number): string {
  const { started, record } = followed;
  if (record && isSettled(record)) return `${endMark(io, record)} ${plain(sayEnding(record))}`;
  const phase = followed.phases.at(-1);
  const took = phase ? duration(Date.now() - Date.parse(phase.startedAt)).padStart(8) : "";
  const words = followed.progress ? `  ${paint(io, "dim", plain(followed.progress))}` : "";
  return `${paint(io, "cyan", spinner(frame))} ${started.target.padEnd(20)} ${(phase?.name ?? "starting").padEnd(10)} ${took}${words}`;
}

function endMark(io: Io, record: NonNullable<Followed["record"]>): string {
  const style = endingStyle(record) ?? "green";
  return paint(io, style, style === "green" ? "✔" : "✘");
}

/** Cuts at a width in visible characters; the escape sequences of `paint` take none, and are kept so that styles end. */
function cutTo(text: string, width: number): string {
  let visible = 0;
  return text
    .split(/(\p{Cc}\[\d+m)/u)
    .map((part, index) => {
      if (index % 2 === 1) return part;
      const kept = [...part].slice(0, Math.max(0, width - visible));
      visible += kept.length;
      return kept.join("");
    })
    .join("");
}
