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
