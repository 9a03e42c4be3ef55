import type { Command } from "commander";
import type { Started } from "../../api/messages.js";
import { PitstopError } from "../../domain/errors.js";
import { connect, whoAsks } from "../client.js";
import { sayEnding } from "../ending.js";
import { EXIT, exitOfRecord } from "../exit.js";
import { follow } from "../follow.js";
import { inventorySummary } from "../inventory.js";
import type { Io } from "../io.js";
import { plain, structured } from "../output.js";
import { lineProgress, liveProgress, type Progress, silentProgress } from "../progress.js";
import { pairInto } from "../words.js";

interface RunOptions {
  action?: string;
  image?: string;
  param?: Record<string, string>;
  restoreOnly?: boolean;
  wait?: boolean;
  json?: boolean;
}

export function runCommand(program: Command, io: Io, run: (work: () => Promise<number>) => Promise<void>): void {
  program
    .command("run")
    .description("take targets into maintenance: one session on each")
    .argument("<target...>")
    .option("-a, --action <name>", "what to do there")
    .option("--image <name>", "boot this image rather than the action's own")
    .option("--param <key=value>", "a parameter of the action; may be repeated", pairInto)
    .option("--restore-only", "only bring home a target whose session was lost")
    .option("--wait", "show the phases until each target is home, or a person must act")
    .option(
      "--json",
      "print only the session, or with --wait its record, as JSON; a list when there are several targets",
    )
    .action((targets: string[], options: RunOptions) => run(() => start(io, targets, options)));
}

async function start(io: Io, targets: string[], options: RunOptions): Promise<number> {
  if (options.action === undefined && !options.restoreOnly) {
    throw new PitstopError("invalid", 'Name what to do: --action NAME; "pitstop get actions" lists the actions.');
  }
  const client = connect(io);
  const wish = {
    ...(options.action === undefined ? {} : { action: options.action }),
    ...(options.image === undefined ? {} : { image: options.image }),
    params: options.param ?? {},
    requestedBy: whoAsks(io),
    restoreOnly: options.restoreOnly === true,
  };
  const [only] = targets;
  const body = targets.length === 1 && only !== undefined ? { ...wish, target: only } : { ...wish, targets };
  const { started, refused } = await client.start(body);
  for (const { problem } of refused) io.err(`${problem.detail}\n`);
  const refusedExit = refused.some(({ problem }) => problem.code === "unreachable") ? EXIT.unreachable : EXIT.usage;
  const exit = refused.length === 0 ? EXIT.done : refusedExit;
  if (options.wait && started.length > 0)
    return Math.max(exit, await waitFor(io, started, options.json === true, targets.length > 1));
  if (options.json) io.out(structured(targets.length === 1 ? started[0] : started, "json"));
  else
    for (const { target, session } of started)
      io.out(`${target}: session ${session} started; follow it with "pitstop session show ${target}".\n`);
  return exit;
}

/** The worst ending decides: stranded, then failed, then done. */
async function waitFor(io: Io, started: Started[], json: boolean, several: boolean): Promise<number> {
  const progress: Progress = json ? silentProgress : io.tty ? liveProgress(io) : lineProgress(io);
  const interrupt = new AbortController();
  const onInterrupt = () => interrupt.abort();
  const either = io.stop ? AbortSignal.any([interrupt.signal, io.stop]) : interrupt.signal;
  process.once("SIGINT", onInterrupt);
  progress.begin(started);
  try {
    const records = await follow(connect(io), started, progress, either);
    progress.end();
    if (json) io.out(structured(several ? records : records[0], "json"));
    // What several machines are made of would hide how their sessions went; session show has it for each.
    const summary = json || several || !records[0] ? "" : inventorySummary(io, records[0]);
    if (summary !== "") io.out(`\n${summary}`);
    // Only a terminal has shown the sentence where whoever looks for an error would look.
    const wrong = json || !io.tty ? records.filter((record) => exitOfRecord(record) !== EXIT.done) : [];
    for (const record of wrong) io.err(`${plain(sayEnding(record))}\n`);
    return Math.max(...records.map(exitOfRecord));
  } catch (error) {
    progress.end();
    if (io.stop?.aborted) return EXIT.interrupted;
    if (!interrupt.signal.aborted) throw error;
    const names = started.map(({ target }) => target);
    io.err(
      `Stopped waiting; the session${names.length > 1 ? "s go" : " goes"} on: pitstop session abort ${names[0]} ends ${names.length > 1 ? "the first" : "it"}.\n`,
    );
    return EXIT.interrupted;
  } finally {
    process.off("SIGINT", onInterrupt);
  }
}
