import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Agent, request } from "undici";
import { sessionWorkflowId } from "../../../src/domain/ids.js";
import type { LabTarget } from "../../../src/lab/lab.js";
import type { ProcessMachine } from "../../../src/lab/process/machine.js";
import { spendOverride, strangeReset } from "../../support/stranger.js";
import { kindOf } from "./met.js";
import type { Deed } from "./schedule.js";
import type { World } from "./world.js";

/** The adversary speaks to a listener whose certificate it does not care for. */
const careless = new Agent({ connect: { rejectUnauthorized: false }, headersTimeout: 10_000 });

/** Does one deed to a target, whose session may be null before it is asked for. What fails was in vain, and is told so. */
export async function perform(world: World, target: LabTarget, session: string | null, deed: Deed): Promise<void> {
  const { name, bmc } = target;
  const machine = target.machine as ProcessMachine;
  switch (deed.do) {
    case "fault":
      bmc.faults.inject(deed.fault);
      return;
    case "machine":
      machine.injectFaults(deed.faults);
      return;
    case "effect":
      world.addEffect({
        ...{ target: name, kind: kindOf(deed) },
        ...{ point: deed.point, when: deed.when, nth: deed.nth, then: deed.then },
      });
      return;
    case "signals":
      world.addEffect({
        ...{ target: name, kind: kindOf(deed) },
        ...{ point: `link.${deed.which}`, nth: 1, ...DELIVERIES[deed.how] },
      });
      return;
    case "signals again":
      await sendAgain(world, name, deed.order);
      return;
    case "wrong boot":
      if (deed.how === "network") machine.injectFaults({ asksNetwork: true });
      else bmc.faults.inject({ fault: "ignored-override", kept: deed.how === "disk, override kept", times: 1 });
      return;
    case "strange reset":
      await strangeReset(target, deed.type);
      return;
    case "spend override":
      await spendOverride(target);
      return;
    case "drop logins":
      bmc.dropSessions();
      return;
    case "signal":
      await world.temporal.workflow
        .getHandle(sessionWorkflowId(name))
        .signal(deed.name, forge(deed.name, deed.forged, session ?? "none"));
      return;
    case "second hello":
      await secondHello(world, name);
      return;
    case "babble":
      await babble(world);
      return;
    case "abort":
      await world.client.abort(name, { by: "the adversary" });
      return;
    case "cancel":
      await world.temporal.workflow.getHandle(sessionWorkflowId(name)).cancel();
      return;
    case "second start":
      await refused("a second session was started beside the first", () =>
        world.client.start({ target: name, action: "active", requestedBy: "the adversary" }),
      );
      return;
    case "release too early":
      await refused("a target was released that was not stranded", () =>
        world.client.release(name, { by: "the adversary", reason: "none" }),
      );
  }
}

/** A promise broken by an answer. */
export class Broken extends Error {}

/** A server that is away has refused nothing. */
const NO_ANSWER = ["unreachable", "internal"];

async function refused(what: string, act: () => Promise<unknown>): Promise<void> {
  try {
    await act();
  } catch (error) {
    if (NO_ANSWER.includes(String((error as { code?: unknown }).code))) throw error;
    return;
  }
  throw new Broken(what);
}

/**
 * What the site's own signals meet on their way. `overtaken`: later than the site waits for its answer, so that it is sent again, and the
 * first one comes after that and after those behind it.
 */
const DELIVERIES = {
  late: { when: "before", then: { delayMs: 4_000 } },
  twice: { when: "after", then: { throw: true } },
  overtaken: { when: "before", then: { delayMs: 23_000 } },
} as const;

/** Every signal that the site has sent to the session is sent once more, byte for byte. */
async function sendAgain({ temporal }: World, name: string, order: "as they were" | "reversed"): Promise<void> {
  const workflowId = sessionWorkflowId(name);
  const { events } = await temporal.workflow.getHandle(workflowId).fetchHistory();
  const signals = (events ?? []).flatMap((event) => event.workflowExecutionSignaledEventAttributes ?? []);
  if (signals.length === 0) throw new Error("it has had no signal yet");
  for (const { signalName, input } of order === "reversed" ? signals.reverse() : signals) {
    await temporal.workflowService.signalWorkflowExecution({
      ...{ namespace: temporal.options.namespace, workflowExecution: { workflowId } },
      ...{ signalName: signalName ?? "", input: input ?? null, requestId: randomUUID() },
    });
  }
}

function forge(name: "hello" | "done" | "rebooted", how: string, session: string): unknown {
  const whole = {
    session: how === "other session" ? randomUUID() : session,
    epoch: 1,
    bootId: randomUUID(),
    at: new Date().toISOString(),
    firmware: null,
    uptimeSeconds: 1,
    how: "the adversary says so",
    outcome: "succeeded",
    reason: null,
    results: [],
  };
  if (how !== "rubbish") return whole;
  if (name === "hello") return { ...whole, at: "never", uptimeSeconds: "many" };
  if (name === "rebooted") return { session, epoch: 1 };
  return { ...whole, results: [null, { id: 7, findingSha256: "../../etc/passwd", durationMs: "long" }] };
}

/** Somebody who read the machine's memory says hello with the nonce that its image had. */
async function secondHello(world: World, name: string): Promise<void> {
  const file = join(world.data, "lab", "machines", name, "machine", "image", "etc", "pitstop", "session");
  const settings = readFileSync(file, "utf8");
  const nonce = /^PITSTOP_NONCE='([^']+)'$/m.exec(settings)?.[1];
  const response = await request(`${world.siteTls}/agent/v1/hello`, {
    method: "POST",
    dispatcher: careless,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ protocol: "1", nonce, bootId: randomUUID(), macs: [] }),
  });
  await response.body.dump();
  if (response.statusCode === 200) throw new Broken("a nonce that was spent let a second boot in");
}

async function babble(world: World): Promise<void> {
  const say = async (method: "GET" | "POST", path: string, body?: string) => {
    const response = await request(`${world.siteTls}/agent/v1/${path}`, {
      method,
      dispatcher: careless,
      headers: { authorization: `Bearer ${randomUUID()}` },
      ...(body === undefined ? {} : { body }),
    });
    await response.body.dump();
    if (response.statusCode < 400) throw new Broken(`a stranger's ${path} was answered ${response.statusCode}`);
    if (response.statusCode >= 500) throw new Broken(`a stranger's ${path} broke the server: ${response.statusCode}`);
  };
  for (let i = 0; i < 10; i++) {
    await say("GET", "next?wait=30");
    await say("POST", "hello", '{"protocol": "1", "nonce": 7}');
    await say("POST", "tasks/../../x/result", "not JSON");
    await say("POST", "done", "{".repeat(2_000));
  }
}
