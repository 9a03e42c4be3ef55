// Lets Node.js load this repository's TypeScript as it stands (node --import ./scripts/typescript.mjs FILE): for commands that
// live beside the tests, and are not part of what is built.
import { existsSync, readFileSync } from "node:fs";
import * as nodeModule from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { isMainThread } from "node:worker_threads";
import ts from "typescript";

// Node.js 22 and later have hooks in each thread; 26 warns of the older `register`, which starts a thread for them.
if (nodeModule.registerHooks) nodeModule.registerHooks({ resolve, load });
else if (isMainThread) nodeModule.register(import.meta.url, pathToFileURL("./"));

/** `./x.js` is written where `./x.ts` is meant. */
export function resolve(specifier, context, next) {
  if (/^\.{1,2}\/.*\.js$/.test(specifier) && context.parentURL?.startsWith("file:")) {
    const url = new URL(specifier.replace(/\.js$/, ".ts"), context.parentURL);
    if (existsSync(url)) return { url: url.href, shortCircuit: true };
  }
  return next(specifier, context);
}

export function load(url, context, next) {
  if (!url.startsWith("file:") || !url.endsWith(".ts")) return next(url, context);
  const { outputText } = ts.transpileModule(readFileSync(fileURLToPath(url), "utf8"), {
    fileName: fileURLToPath(url),
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
      inlineSourceMap: true,
    },
  });
  return { format: "module", source: outputText, shortCircuit: true };
}
