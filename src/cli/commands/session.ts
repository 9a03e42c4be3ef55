import type { Command } from "commander";
import { connect, whoAsks } from "../client.js";
import { EXIT } from "../exit.js";
import type { Io } from "../io.js";
import { type Format, plain, structured } from "../output.js";
import { showRecord } from "../show.js";
import { formatOption, textOf } from "./catalogue.js";

const ID = "a session's id, or a target's name: its open session, else its newest";
type Verb = "abort" | "approve" | "retry";

export function sessionCommands(program: Command, io: Io, run: (work: () => Promise<number>) => Promise<void>): void {
  const session = program.command("session").description("look at a session, or speak to it");

  session
    .command("show")
    .description("its record: phases, outcome, proof of home, findings")
    .argument("<id>", ID)
    .addOption(formatOption())
    .option("--json", "the same as -o json")
    .action((id: string, options: { output?: Format; json?: boolean }) =>
      run(async () => {
        const record = await connect(io).session(id);
        const format = options.json ? "json" : options.output;
        io.out(format ? structured(record, format) : showRecord(io, record));
        return EXIT.done;
      }),
    );

  session
    .command("logs")
    .description("what its tasks printed")
    .argument("<id>", ID)
    .argument("[task]", "only this task's")
    .action((id: string, task: string | undefined) => run(() => logs(io, id, task)));

  const say = (verb: Verb, description: string, consequence: string) =>
    session
      .command(verb)
      .description(description)
      .argument("<id>", ID)
      .option("--reason <text>", "for the record")
      .action((id: string, { reason }: { reason?: string }) =>
        run(async () => {
          const by = whoAsks(io);
          const noted = await connect(io)[verb](id, reason === undefined ? { by } : { by, reason });
          io.out(`${noted.target}: ${consequence}\n`);
          return EXIT.done;
        }),
      );
  say("abort", "end the work; the target is brought home", "the work ends; the target is brought home.");
  say("approve", "let a session that waits for approval begin", "approved.");
  say("retry", "try the restore of a stranded session again", "the restore is tried again.");

  session
    .command("release")
    .description("end a stranded session without a proof that its target is home")
    .argument("<id>", ID)
    .requiredOption("--reason <text>", "why; it stays in the record with your name")
    .action((id: string, { reason }: { reason: string }) =>
      run(async () => {
        const noted = await connect(io).release(id, { by: whoAsks(io), reason });
        io.out(`${noted.target}: released; nobody has proved that it is home.\n`);
        return EXIT.done;
      }),
    );

  session
    .command("supply")
    .description("give one more task to an interactive session")
    .argument("<id>", ID)
    .option("-f, --file <file>", "the task as YAML (name, script, timeout), - for standard input")
    .option("--last", "nothing comes after it: the target goes home when it is done")
    .action((id: string, { file, last }: { file?: string; last?: boolean }) =>
      run(async () => {
        const yaml =
          file === undefined ? {} : { yaml: { text: await textOf(io, file), file: file === "-" ? "stdin" : file } };
        const supplied = await connect(io).supply(id, { by: whoAsks(io), last: last === true, ...yaml });
        io.out(
          `${supplied.target}: ${file === undefined ? "nothing more comes." : `task ${supplied.task} supplied.`}\n`,
        );
        return EXIT.done;
      }),
    );
}

async function logs(io: Io, id: string, task: string | undefined): Promise<number> {
  const client = connect(io);
  if (task !== undefined) {
    io.out(printable(io, await client.log(id, task)));
    return EXIT.done;
  }
  const { items } = await client.logs(id);
  if (items.length === 0) io.err(`Session ${id} has left no logs; a task's log is kept when the task ends.\n`);
  for (const item of items) {
    if (items.length > 1) io.out(`==> ${item.name} (${item.status}) <==\n`);
    io.out(printable(io, await client.log(id, item.task)));
  }
  return EXIT.done;
}

/** A file gets the bytes that the machine printed; a terminal must not obey them. */
const printable = (io: Io, text: string): string => (io.tty ? plain(text.replaceAll("\r\n", "\n")) : text);
