// Loads the product's own TypeScript with what is outside of it replaced by the simulation: no build. What was transpiled is
// kept by its text's digest, because transpiling takes longer than ten seeds and every planted bug begins a process of its own.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { MUTATIONS } from "./mutations.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..", "..", "..");
const kept = join(root, "node_modules", ".cache", "pitstop-simulation");
const shim = (name) => pathToFileURL(join(here, "shims", name)).href;

/** What the product imports from outside, by name. */
const OUTSIDE = {
  "@temporalio/workflow": shim("workflow.ts"),
  "@temporalio/activity": shim("activity.ts"),
  "@temporalio/client": shim("client.ts"),
  undici: shim("undici.ts"),
  "node:timers/promises": shim("timers.ts"),
  "node:fs/promises": shim("files.ts"),
  "node:crypto": shim("crypto.ts"),
};
/** Files of the product whose work is with sockets, images or a worker: the simulation has its own. */
const INSIDE = {
  "src/boot/listener.ts": shim("listener.ts"),
  "src/boot/cache.ts": shim("images.ts"),
  "src/boot/media.ts": shim("images.ts"),
  "src/boot/tls.ts": shim("images.ts"),
  "src/config.ts": shim("images.ts"),
  "workers/temporal.ts": shim("worker.ts"),
  "src/temporal/attributes.ts": shim("worker.ts"),
};
const PRODUCT = /^(src|workflows|activities|workers)\//;

let mutation = null;

export function initialize(data) {
  if (!data?.mutation) return;
  mutation = MUTATIONS.find((one) => one.name === data.mutation) ?? null;
  if (!mutation) throw new Error(`There is no mutation ${data.mutation}; --list-mutations lists them.`);
  textOf(mutation.file);
}

/** The file's text with the planted bug. One whose text is not found any more must be written anew, not passed over. */
function textOf(file) {
  const text = readFileSync(join(root, file), "utf8");
  if (mutation?.file !== file) return text;
  if (text.split(mutation.from).length !== 2) {
    throw new Error(
      `The mutation ${mutation.name} does not fit ${file} any more: its text must be there exactly once.`,
    );
  }
  return text.replace(mutation.from, () => mutation.to);
}

const pathOf = (url) => (url.startsWith("file:") ? relative(root, fileURLToPath(url)) : "");

export async function resolve(specifier, context, next) {
  const from = pathOf(context.parentURL ?? "");
  if (PRODUCT.test(from) && OUTSIDE[specifier]) return { url: OUTSIDE[specifier], shortCircuit: true };
  if (!specifier.startsWith(".") || !from || from.startsWith("node_modules")) return next(specifier, context);
  const path = fileURLToPath(new URL(specifier, context.parentURL)).replace(/\.js$/, ".ts");
  const inside = INSIDE[relative(root, path)];
  if (inside) return { url: inside, shortCircuit: true };
  if (path.endsWith(".ts") && existsSync(path)) return { url: pathToFileURL(path).href, shortCircuit: true };
  return next(specifier, context);
}

export async function load(url, context, next) {
  if (!url.startsWith("file:") || !url.endsWith(".ts")) return next(url, context);
  const text = textOf(pathOf(url));
  const file = join(kept, `${createHash("sha256").update(text).digest("hex")}.mjs`);
  const source = existsSync(file) ? readFileSync(file, "utf8") : keep(file, await transpiled(text));
  return { format: "module", source, shortCircuit: true };
}

async function transpiled(text) {
  const { default: ts } = await import("typescript");
  return ts.transpileModule(text, {
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
      inlineSourceMap: false,
    },
  }).outputText;
}

/** Two processes may write the same at the same time: the name appears with all of it. */
function keep(file, source) {
  mkdirSync(kept, { recursive: true });
  writeFileSync(`${file}.${process.pid}`, source);
  renameSync(`${file}.${process.pid}`, file);
  return source;
}
