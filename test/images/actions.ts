import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";

/** The document of a built-in action, as it is in the file. */
export const builtinAction = (file: string): unknown =>
  parse(readFileSync(join("images/actions", file), "utf8")) as unknown;
