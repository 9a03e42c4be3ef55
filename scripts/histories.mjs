// npm run histories: records the histories that test/replay replays, for the version in package.json. Real sessions on
// process machines of a lab, with everything below one temporary folder; about a minute.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { checkNode, ensureDependencies, root } from "./setup.mjs";

checkNode();
ensureDependencies();
const { build } = await import("./build.mjs");
await build();
const { recordStories } = await import("./histories/stories.mjs");

const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const into = join(root, "test", "replay", "histories", version);
const data = mkdtempSync(join(tmpdir(), "pitstop-histories-"));
try {
  const stories = await recordStories(data);
  rmSync(into, { recursive: true, force: true });
  mkdirSync(into, { recursive: true });
  for (const [name, history] of stories) {
    const text = asText(history);
    writeFileSync(join(into, `${name}.json`), text);
    console.log(`${name}: ${history.events.length} events, ${Math.ceil(text.length / 1024)} KiB`);
  }
} finally {
  rmSync(data, { recursive: true, force: true });
}
process.exit(0);

/**
 * One event a line, so that a difference can be read; without the name of the machine that recorded it, and without the
 * inputs of activities, which replay does not compare and which hold the whole plan each.
 */
function asText({ events }) {
  const clean = (key, value) => {
    if (key === "activityTaskScheduledEventAttributes") return { ...value, input: undefined };
    // Of a failure: where the recorder's files lay.
    if (key === "stackTrace") return "";
    return key === "identity" || key === "workerInstanceKey" ? "recorder" : value;
  };
  const lines = events.map((event) => JSON.stringify(event, clean).replaceAll(hostname(), "recorder"));
  return `{"events":[\n${lines.join(",\n")}\n]}\n`;
}
