import ts from "typescript";

/** Modules that change nothing outside of a process: they compute, they read, or they say what Temporal's history keeps. */
const HARMLESS = new Set([
  ...["node:crypto", "node:os", "node:path", "node:stream", "node:timers/promises", "node:url", "node:util"],
  ...["@temporalio/activity", "@temporalio/common", "@temporalio/envconfig", "@temporalio/workflow"],
  ...[
    "@fastify/swagger",
    "fastify-type-provider-zod",
    "@peculiar/x509",
    "p-limit",
    "pino",
    "prom-client",
    "yaml",
    "zod",
  ],
]);
/** What there is without an import, and reaches files, sockets or processes, or code that nobody sees. */
const GLOBALS = new Set(["fetch", "WebSocket", "EventSource", "globalThis", "global", "require", "eval", "Function"]);
/** What of `process` reads, or speaks to whoever has started it. */
const OF_PROCESS = new Set([
  ...["arch", "argv", "cwd", "env", "execPath", "exitCode", "memoryUsage", "pid", "platform", "version"],
  ...["once", "stderr", "stdout"],
]);

/** By what a file can change the world outside of its process: modules with means, `fetch`, `process.kill`. */
export function meansIn(text: string): string[] {
  const means = new Set<string>();
  const module = (name: ts.Node | undefined) => {
    if (!name || !ts.isStringLiteralLike(name)) means.add("import(...)");
    else if (!name.text.startsWith(".") && !HARMLESS.has(name.text)) means.add(name.text);
  };
  const walk = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) && !isOfAnswers(node)) module(node.moduleSpecifier);
    if (ts.isExportDeclaration(node) && node.moduleSpecifier) module(node.moduleSpecifier);
    if (ts.isExternalModuleReference(node)) module(node.expression);
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) module(node.arguments[0]);
    if (ts.isIdentifier(node) && GLOBALS.has(node.text) && isUse(node)) means.add(node.text);
    if (ts.isIdentifier(node) && node.text === "process" && isUse(node)) {
      const { parent } = node;
      const name = ts.isPropertyAccessExpression(parent) ? parent.name.text : "...";
      if (!OF_PROCESS.has(name)) means.add(`process.${name}`);
    }
    // `typeof fetch` calls nothing.
    if (!ts.isTypeNode(node)) ts.forEachChild(node, walk);
  };
  walk(ts.createSourceFile("it.ts", text, ts.ScriptTarget.ES2022, true));
  return [...means].sort();
}

/** Who is handed a file or a client can use it: types count as their modules do, but for those of an HTTP answer. */
function isOfAnswers({ importClause, moduleSpecifier }: ts.ImportDeclaration): boolean {
  const isFastify = ts.isStringLiteral(moduleSpecifier) && moduleSpecifier.text === "fastify";
  return isFastify && importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword;
}

/** The word stands for the thing, and is not the name of somebody's property. */
function isUse(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node;
  if (ts.isPropertyAssignment(parent)) return parent.initializer === node;
  if (ts.isBindingElement(parent)) return parent.initializer === node;
  return !(ts.isClassElement(parent) || ts.isTypeElement(parent) || ts.isImportSpecifier(parent));
}
