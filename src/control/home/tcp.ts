import { connect } from "node:net";
import { messageOf } from "../../domain/errors.js";
import type { HomeAnswer } from "../../domain/snapshot.js";
import type { HomeCheck } from "../../domain/target.js";
import { type HomeDeps, inTime, noAnswer } from "./answer.js";

type TcpCheck = Extract<HomeCheck, { tcp: unknown }>["tcp"];

/** Whether the port accepts a connection. It says nothing of who does: weak proof at best. */
export async function askTcp(check: TcpCheck, deps: HomeDeps): Promise<HomeAnswer> {
  const name = `tcp ${check.host}:${check.port}`;
  return await inTime(deps, (signal) => tryConnect(check, name, signal));
}

function tryConnect({ host, port }: TcpCheck, name: string, signal: AbortSignal): Promise<HomeAnswer> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (answer: HomeAnswer) => {
      signal.removeEventListener("abort", late);
      socket.destroy();
      resolve(answer);
    };
    const late = () => end(noAnswer(name, "it did not accept a connection in time"));
    socket.once("connect", () => end({ ...noAnswer(name, ""), answered: true, reason: null }));
    socket.once("error", (error) => end(noAnswer(name, messageOf(error))));
    if (signal.aborted) late();
    else signal.addEventListener("abort", late);
  });
}
