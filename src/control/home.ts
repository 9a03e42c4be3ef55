import pLimit from "p-limit";
import type { HomeAnswer } from "../domain/snapshot.js";
import type { HomeCheck } from "../domain/target.js";
import type { HomeDeps } from "./home/answer.js";
import { askHttp } from "./home/http.js";
import { askSsh } from "./home/ssh.js";
import { askTcp } from "./home/tcp.js";

export type { HomeDeps } from "./home/answer.js";
export { type HomeProof, proveHome } from "./home/prove.js";

/**
 * Asks one home check, once, within its time and size limits. Silence and wrong answers are answers, with the reason;
 * only a document that cannot be used is an error (`invalid`).
 */
export async function askHome(check: HomeCheck, deps: HomeDeps = {}): Promise<HomeAnswer> {
  if ("http" in check) return await askHttp(check.http, deps);
  if ("ssh" in check) return await askSsh(check.ssh, deps);
  return await askTcp(check.tcp, deps);
}

/** Each check costs a connection, and an SSH check a key exchange: more at once would starve the agents of a large site. */
const CHECKS_AT_ONCE = 32;

/** `homeAsker` gives {@link askHome} for all targets of a site, at most 32 checks at once; the others wait their turn. */
export function homeAsker(deps: HomeDeps, ask: typeof askHome = askHome): (check: HomeCheck) => Promise<HomeAnswer> {
  const limit = pLimit(CHECKS_AT_ONCE);
  return (check) => limit(() => ask(check, deps));
}
