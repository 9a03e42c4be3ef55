import { writeFileSync } from "node:fs";
import { PitstopClient } from "../src/api/client.js";
import { EXIT, exitOfError } from "../src/cli/exit.js";
import { follow } from "../src/cli/follow.js";
import { main as command, processIo } from "../src/cli/main.js";
import { lineProgress, liveProgress } from "../src/cli/progress.js";
import { type Config, loadConfig } from "../src/config.js";
import { messageOf, PitstopError } from "../src/domain/errors.js";
import { BootVia } from "../src/domain/target.js";
import { freePort, isFree } from "../src/free-port.js";
import type { Lab } from "../src/lab/lab.js";
import { openLab } from "./lab.js";
import { readOptions } from "./options.js";
import { addresses, type RunningServer, startServer, stopServer } from "./serve.js";
import { listenForStop } from "./stopping.js";
import { terminalSay } from "./terminal.js";

const USAGE = `npm start [-- OPTIONS]

Starts the operations server and a lab, takes a lab machine away and home once, and stays up.

  --once             exit after that session: 0 when its work is done and the target is home, else not 0
  --json FILE        write the session's record
  --action NAME      what to do there                 (default inventory)
  --machine KIND     bios, uefi or process            (default bios; process where QEMU is missing)
  --via WAY          pxe, uefi-http or virtual-media  (default pxe; uefi-http under UEFI)
`;

/** A machine that boots under software emulation on a busy host may take its time. */
const FIRST_HOME_MS = 180_000;

/** `npm start`. Returns the exit code. */
export async function start(argv: string[], has: { qemu: boolean }): Promise<number> {
  let server: RunningServer | null = null;
  let lab: Lab | null = null;
  const left = () => [...(server?.left() ?? []), ...(lab ? agentsOf(lab) : [])];
  const stop = listenForStop(left);
  try {
    const options = readArguments(argv, has.qemu);
    if (options === "help") {
      process.stdout.write(USAGE);
      return 0;
    }
    const config = await rehearsalConfig();
    console.log("starting the operations server");
    server = await startServer(config, terminalSay("  "), stop);
    console.log(`starting the lab: ${options.machine} machine ${options.name}`);
    lab = await openLab(config, options.lab, `http://127.0.0.1:${config.PITSTOP_SITE_LISTEN.port}`);
    const client = new PitstopClient({ url: server.api, token: server.token });
    await client.applyYaml(lab.targetYaml(), "the lab's targets");
    await finishEarlier(client, options.name, stop.signal);
    await waitForHome(lab, options.name, stop.signal);
    console.log(`\n${options.action} on ${options.name}`);
    const code = await runOnce(server, options, stop.signal);
    if (stop.signal.aborted) return code;
    console.log(`\n${addresses({ ...server, api: { url: server.api, token: server.token } }).join("\n")}`);
    if (options.once) return code;
    console.log(
      `\nTry it:  npx pitstop get targets\n         npx pitstop run ${options.name} --action ${options.action} --wait\nCtrl-C stops it.`,
    );
    await Promise.race([stop.asked, server.failed]);
    return code;
  } catch (error) {
    if (stop.signal.aborted) return EXIT.interrupted;
    console.error(messageOf(error));
    return error instanceof PitstopError ? exitOfError(error) : EXIT.unreachable;
  } finally {
    // With machines but no server, a session could not go on; the other way round it waits.
    const closeLab = async () => {
      if (lab) stop.tell(`the lab's machines: ${lab.targets.map(({ name }) => name).join(", ")}`);
      await lab?.close();
      lab = null;
    };
    if (server) await stopServer(server, stop, closeLab);
    stop.end();
  }
}

/** The kernel ends QEMU with this process; a process machine's agent is a process group of its own. */
const agentsOf = (lab: Lab): string[] =>
  lab.targets
    .filter(({ machine }) => machine.kind === "process")
    .map(({ name }) => `the agent of the lab machine ${name}`);

interface StartOptions {
  once: boolean;
  json: string | null;
  action: string;
  machine: "bios" | "uefi" | "process";
  name: string;
  lab: Parameters<typeof openLab>[1];
}

function readArguments(argv: string[], qemu: boolean): StartOptions | "help" {
  const values = readOptions(argv, "npm start -- --help", {
    once: { type: "boolean", default: false },
    json: { type: "string" },
    action: { type: "string", default: "inventory" },
    machine: { type: "string", default: qemu ? "bios" : "process" },
    via: { type: "string" },
    help: { type: "boolean", short: "h", default: false },
  });
  if (values.help) return "help";
  const machine = values.machine;
  if (machine !== "bios" && machine !== "uefi" && machine !== "process") {
    throw new PitstopError("invalid", `--machine is bios, uefi or process, not "${machine}".`);
  }
  const via = BootVia.optional().safeParse(values.via);
  if (!via.success) throw new PitstopError("invalid", `--via is ${BootVia.options.join(", ")}, not "${values.via}".`);
  if (!qemu) console.log("QEMU or its tools are missing here, so the lab has simulated machines only.");
  const name = `lab-${machine}-1`;
  return {
    once: values.once,
    json: values.json ?? null,
    action: values.action,
    machine,
    name,
    lab: {
      machines: [
        {
          name,
          ...(via.data ? { via: [via.data] } : {}),
          ...(machine === "process" ? { kind: "process", firmware: "bios" } : { kind: "qemu", firmware: machine }),
        },
      ],
    },
  };
}

/** The lab's targets are on this machine: their listeners are on loopback, and QEMU's guests see that as 10.0.2.2. */
async function rehearsalConfig(): Promise<Config> {
  const free = async (wanted: number) => ((await isFree(wanted)) ? wanted : await freePort());
  const env = { ...process.env };
  env.PITSTOP_LISTEN ??= `127.0.0.1:${await free(8480)}`;
  env.PITSTOP_SITE_LISTEN ??= `127.0.0.1:${await free(8481)}`;
  env.PITSTOP_SITE_TLS_LISTEN ??= `127.0.0.1:${await free(8482)}`;
  env.PITSTOP_LOG_LEVEL ??= "warn";
  const port = (listen: string) => listen.slice(listen.lastIndexOf(":") + 1);
  env.PITSTOP_SITE_URL ??= `http://10.0.2.2:${port(env.PITSTOP_SITE_LISTEN)}`;
  env.PITSTOP_SITE_TLS_URL ??= `https://10.0.2.2:${port(env.PITSTOP_SITE_TLS_LISTEN)}`;
  return loadConfig(env);
}

/** A start that was stopped may have left the machine away. Its session goes on now, and ends before the next one begins. */
async function finishEarlier(client: PitstopClient, target: string, signal: AbortSignal): Promise<void> {
  const [open] = (await client.sessions({ target, open: true })).items;
  if (!open) return;
  console.log(`\n${target} is still away since the last start; its session goes on`);
  const io = processIo();
  const progress = io.tty ? liveProgress(io) : lineProgress(io);
  const { session, workflowId } = await client.session(open.session);
  const started = [{ target, session, workflowId }];
  progress.begin(started);
  try {
    await follow(client, started, progress, signal);
  } finally {
    progress.end();
  }
}

/** The machine's own system must run before it can be taken away. */
async function waitForHome(lab: Lab, name: string, signal: AbortSignal): Promise<void> {
  const { machine } = lab.target(name);
  const deadline = Date.now() + FIRST_HOME_MS;
  const started = Date.now();
  for (;;) {
    const answer = await fetch(machine.homeUrl, { signal: AbortSignal.timeout(2_000) }).catch(() => null);
    signal.throwIfAborted();
    if (answer?.ok) break;
    if (Date.now() > deadline)
      throw new Error(
        `The lab machine ${name} did not start its own system within ${FIRST_HOME_MS / 1000} s; its console is ${machine.consoleLog}.`,
      );
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  console.log(`  its own system answers after ${((Date.now() - started) / 1000).toFixed(1)} s`);
}

/** The session, by the same command that an operator types. */
async function runOnce(server: RunningServer, options: StartOptions, stop: AbortSignal): Promise<number> {
  const io = { ...processIo(), env: { ...process.env, PITSTOP_URL: server.api, PITSTOP_TOKEN: server.token }, stop };
  const code = await command(["run", options.name, "--action", options.action, "--wait"], io);
  if (options.json && !stop.aborted) {
    const client = new PitstopClient({ url: server.api, token: server.token });
    writeFileSync(options.json, `${JSON.stringify(await client.session(options.name), null, 2)}\n`);
  }
  return code;
}
