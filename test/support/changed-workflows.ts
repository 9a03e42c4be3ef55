/** In the bundle as it is built: the first line of `capture`, before a session looks at its target. */
export const beforeCapture = /async function capture\(\{[^}]*\}\) \{\n/;
/** The last thing that a session does before it lets go of its target. */
export const afterActivity = /async function close\(ctx\) \{\n/;

/**
 * A bundle of workflows with `statement` planted into it, as a later version might have it. `SLEEP` and `PATCHED` are
 * Temporal's own functions.
 */
export function changed(code: string, statement: string, where: RegExp = beforeCapture): string {
  const found = where.exec(code);
  if (!found) throw new Error(`the bundle has no ${where}; name a line that it has`);
  // The modules that say what happens import Temporal's workflow functions first, under this name of webpack's.
  const temporal = "_temporalio_workflow__WEBPACK_IMPORTED_MODULE_0__";
  const planted = statement.replace("SLEEP", `(0,${temporal}.sleep)`).replace("PATCHED", `(0,${temporal}.patched)`);
  const at = found.index + found[0].length;
  return `${code.slice(0, at)}${planted}\n${code.slice(at)}`;
}
