import { Command, CommanderError } from "commander";
import { messageOf, PitstopError } from "../domain/errors.js";
import { campaignCommands } from "./commands/campaign.js";
import { catalogueCommands } from "./commands/catalogue.js";
import { doctorCommand } from "./commands/doctor.js";
import { imageCommands } from "./commands/image.js";
import { processCommands } from "./commands/processes.js";
import { runCommand } from "./commands/run.js";
import { sessionCommands } from "./commands/session.js";
import { EXIT, exitOfError } from "./exit.js";
import type { Io } from "./io.js";
import { plain } from "./output.js";

export { processIo } from "./io.js";

const EXIT_CODES = `
Exit codes:
  0  done
  1  the work failed, and the target is home
  2  the request was wrong or was refused; nothing was changed by it
  3  stranded: a person must act on a target
  4  the server, or what it needs, cannot be reached
  130  watching was stopped (Ctrl-C); the session goes on

Settings: PITSTOP_URL and PITSTOP_TOKEN, or a pitstop.yaml; on the server's machine none are needed.`;

/** Runs the command line and returns its exit code. Never throws: an error is one sentence on standard error. */
export async function main(argv: readonly string[], io: Io): Promise<number> {
  let exit: number = EXIT.done;
  const program = makeProgram(io, async (work) => {
    exit = await work();
  });
  try {
    await program.parseAsync([...argv], { from: "user" });
    return exit;
  } catch (error) {
    // Commander has written its own sentence (or the help) by now.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    if (io.env.PITSTOP_DEBUG === "1" && error instanceof Error) io.err(`${error.stack}\n`);
    io.err(`${plain(sayError(error))}\n`);
    return exitOfError(error);
  }
}

const sayError = (error: unknown): string =>
  error instanceof PitstopError
    ? error.message
    : `Something that should not happen has happened (${messageOf(error)}); PITSTOP_DEBUG=1 shows where.`;

function makeProgram(io: Io, run: (work: () => Promise<number>) => Promise<void>): Command {
  const program = new Command("pitstop")
    .description("Takes machines into maintenance images and brings them home, with proof.")
    .addHelpText("after", EXIT_CODES)
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.out(text),
      writeErr: (text) => io.err(text),
      outputError: (text, write) =>
        write(plain(text).replace(/^error: (.)/, (_all, letter: string) => letter.toUpperCase())),
      getOutHasColors: () => io.colour,
      getErrHasColors: () => io.colour,
      getOutHelpWidth: () => io.columns(),
      getErrHelpWidth: () => io.columns(),
    });
  processCommands(program, io, run);
  catalogueCommands(program, io, run);
  runCommand(program, io, run);
  sessionCommands(program, io, run);
  campaignCommands(program, io, run);
  imageCommands(program, io, run);
  doctorCommand(program, io, run);
  for (const command of everyCommand(program)) {
    command.showHelpAfterError(`See ${pathOf(command)} --help.`);
  }
  return program;
}

const everyCommand = (command: Command): Command[] => [command, ...command.commands.flatMap(everyCommand)];
const pathOf = (command: Command): string =>
  command.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name();
