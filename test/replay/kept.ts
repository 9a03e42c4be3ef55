import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import proto from "@temporalio/proto";

const folder = resolve(import.meta.dirname, "histories");

/** The name of a story in a release, `0.1.0/active`, and what happened in it. */
export interface KeptHistory {
  name: string;
  workflowId: string;
  history: proto.temporal.api.history.v1.History;
}

export const releases = (): string[] => readdirSync(folder).sort();

export const storiesOf = (release: string): string[] =>
  readdirSync(join(folder, release))
    .map((file) => file.replace(/\.json$/, ""))
    .sort();

export function kept(release: string, story: string): KeptHistory {
  const text = readFileSync(join(folder, release, `${story}.json`), "utf8");
  const history = proto.temporal.api.history.v1.History.fromObject(JSON.parse(text));
  const workflowId = history.events[0]?.workflowExecutionStartedEventAttributes?.workflowId ?? "";
  return { name: `${release}/${story}`, workflowId, history };
}

export const everything = (): KeptHistory[] =>
  releases().flatMap((release) => storiesOf(release).map((story) => kept(release, story)));
