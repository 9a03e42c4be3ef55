/**
 * How deep the brackets of a JSON text nest, counted without recursion. What is parsed from a text that nests some
 * thousand levels can be held, but not written again: `JSON.stringify` then runs out of stack, and whatever keeps it (a
 * journal, a history) can never be saved. So whoever reads JSON of others asks this first.
 */
export function nestingOf(json: string): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let i = 0; i < json.length; i++) {
    const code = json.charCodeAt(i);
    if (inString) {
      if (code === 0x5c) i++;
      else if (code === 0x22) inString = false;
    } else if (code === 0x22) inString = true;
    else if (code === 0x7b || code === 0x5b) deepest = Math.max(deepest, ++depth);
    else if (code === 0x7d || code === 0x5d) depth--;
  }
  return deepest;
}
