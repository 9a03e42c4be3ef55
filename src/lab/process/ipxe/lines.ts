/** What stands between two commands of a line: the next one runs always, after a failure, or after a success. */
export type Operator = ";" | "||" | "&&";

export interface Command {
  words: string[];
  /** What follows it on the line; `;` at its end. */
  then: Operator;
}

export interface Script {
  lines: Command[][];
  /** Index of the line after each `:label`. */
  labels: Map<string, number>;
}

const MAX_LINES = 10_000;

/** Reads an iPXE script (https://ipxe.org/scripting). Null: it does not begin with `#!ipxe`, so iPXE would not run it. */
export function parseScript(text: string): Script | null {
  if (!/^#!ipxe[ \t]*(\r?\n|$)/.test(text)) return null;
  const lines: Command[][] = [];
  const labels = new Map<string, number>();
  const joined = text.replaceAll("\r\n", "\n").replace(/\\\n/g, "");
  for (const line of joined.split("\n").slice(1, MAX_LINES)) {
    const label = /^\s*:(\S+)/.exec(line)?.[1];
    if (label !== undefined) labels.set(label, lines.length);
    else lines.push(commandsOf(wordsOf(line)));
  }
  return { lines, labels };
}

/** Words are divided by blanks; quotes and backslashes keep them together; `#` begins a comment. Settings stay as they are. */
function wordsOf(line: string): string[] {
  const words: string[] = [];
  let word: string | null = null;
  let quote: string | null = null;
  for (let i = 0; i < line.length; i++) {
    const char = line.charAt(i);
    if (quote === null && /\s/.test(char)) {
      if (word !== null) words.push(word);
      word = null;
    } else if (quote === null && char === "#" && word === null) {
      break;
    } else if (char === quote) {
      quote = null;
    } else if (quote === null && (char === '"' || char === "'")) {
      quote = char;
      word ??= "";
    } else if (char === "\\" && i + 1 < line.length) {
      word = (word ?? "") + line.charAt(++i);
    } else {
      word = (word ?? "") + char;
    }
  }
  if (word !== null) words.push(word);
  return words;
}

function commandsOf(words: string[]): Command[] {
  const commands: Command[] = [];
  let current: string[] = [];
  for (const word of words) {
    if (word === "||" || word === "&&" || word === ";") {
      commands.push({ words: current, then: word });
      current = [];
    } else {
      current.push(word);
    }
  }
  commands.push({ words: current, then: ";" });
  return commands;
}
