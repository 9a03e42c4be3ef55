import { type ParseArgsConfig, parseArgs } from "node:util";
import { PitstopError } from "../src/domain/errors.js";

/** The options of a process; a wrong one is `invalid`, in one sentence that names the command that lists them. */
export function readOptions<T extends NonNullable<ParseArgsConfig["options"]>>(
  args: string[],
  help: string,
  options: T,
): ReturnType<typeof parseArgs<{ args: string[]; options: T }>>["values"] {
  try {
    return parseArgs({ args, options }).values;
  } catch (error) {
    // Node's own advice after its first sentence is about positional arguments, which we have none of.
    const [what] = (error as Error).message.split(/\.\s|\n/);
    throw new PitstopError("invalid", `${what}; "${help}" lists the options.`);
  }
}
