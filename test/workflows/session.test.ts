import { AsyncLocalStorage } from "node:async_hooks";
import { Context } from "@temporalio/activity";
import { WorkflowFailedError, WorkflowUpdateFailedError } from "@temporalio/client";
import { ApplicationFailure, WorkflowNotFoundError } from "@temporalio/common";
import { Worker } from "@temporalio/worker";
import { afterAll, aroundEach, beforeAll, describe, expect, it, vi } from "vitest";
import type { CentralActivities } from "../../activities/contract.js";
import { SessionRecord } from "../../src/domain/record.js";
import type { PlannedWay, SessionSummary } from "../../src/domain/session.js";
import type { maintenanceSession } from "../../workflows/index.js";
import { startTestTemporal, type TestTemporal, workflowBundle } from "../support/temporal.js";
import { bootState, FakeWorld, result, task } from "./fakes.js";

let temporal: TestTemporal;
let workers: Worker[] = [];
let running: Promise<void>[] = [];
/** A test's own world, and the number by which its targets and workflows are called: most tests wait, so they run side by side. */
const scenes: FakeWorld[] = [];
const scene = new AsyncLocalStorage<number>();

beforeAll(async () => {
  temporal = await startTestTemporal();
  const code = await workflowBundle();
  const delegate = (of: (own: FakeWorld) => object) =>
    new Proxy({} as Record<string, (input: unknown) => Promise<unknown>>, {
      ownKeys: () => Object.keys(of(new FakeWorld())),
      getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
      get: (_, name) => (input: unknown) => {
        // The number in `maintenance/t7` or `campaign-7`.
        const number = Number(/\d+/.exec(Context.current().info.workflowExecution?.workflowId ?? "")?.[0]);
        return scene.run(number, () =>
          (of(own()) as Record<string, (i: unknown) => Promise<unknown>>)[String(name)]?.(input),
        );
      },
    });
  const common = {
    connection: temporal.connections.native,
    namespace: "default",
    maxHeartbeatThrottleInterval: "200ms",
  };
  workers = [
    await Worker.create({
      ...common,
      taskQueue: "pitstop",
      workflowBundle: code,
      activities: delegate((world) => world.central()),
    }),
    await Worker.create({
      ...common,
      taskQueue: "pitstop-site-default",
      activities: delegate((world) => world.site()),
    }),
  ];
  running = workers.map((worker) => worker.run());
}, 120_000);

afterAll(async () => {
  for (const worker of workers) worker.shutdown();
  await Promise.all(running);
  await temporal.stop();
});

aroundEach((run) => scene.run(scenes.push(new FakeWorld()) - 1, run));
const number = () => scene.getStore() as number;
const own = () => scenes[number()] as FakeWorld;
/** The running test's own one, also in what an activity calls for it. */
const world = new Proxy({} as FakeWorld, {
  get: (_, name) => Reflect.get(own(), name),
  set: (_, name, value) => Reflect.set(own(), name, value),
});

const client = () => temporal.connections.client.workflow;
const say = (session: string, epoch: number, name: string, more: object = {}) =>
  client()
    .getHandle(`maintenance/t${number()}`)
    .signal(name, { session, epoch, bootId: `boot-${epoch}`, at: new Date().toISOString(), ...more })
    // An image may speak after its session has ended: nobody hears it.
    .catch((error: unknown) => {
      if (!(error instanceof WorkflowNotFoundError)) throw error;
    });

async function start(request: object = {}) {
  const target = `t${number()}`;
  return await client().start<typeof maintenanceSession>("maintenanceSession", {
    workflowId: `maintenance/${target}`,
    taskQueue: "pitstop",
    args: [{ target, action: "check", ...request }],
  });
}

const helloAtBoot = () => {
  world.onBoot = (plan, epoch) => say(plan.session, epoch, "hello", { firmware: "bios", uptimeSeconds: 1 });
};

async function reach(phase: string) {
  const handle = client().getHandle(`maintenance/t${number()}`);
  for (let i = 0; i < 400; i++) {
    const status = await handle.query<{ phase: string }>("status");
    if (status.phase === phase) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`never reached ${phase}`);
}

/** An activity that lasts until it is cancelled. */
const untilCancelled = () => {
  const context = Context.current();
  const beat = setInterval(() => context.heartbeat(), 100);
  return context.cancelled.finally(() => clearInterval(beat));
};

/** For hangs; `expect.poll` is not for tests that run side by side. */
const WITHIN = { timeout: 20_000 };

const shortWork = {
  gracefulMs: 1000,
  bootMs: 2000,
  bootAttempts: 1,
  workMs: 500,
  leaseMs: 5000,
  homeMs: 2000,
  totalMs: 3_600_000,
};

const TWO_WAYS: PlannedWay[] = [
  { via: "pxe", grade: "lan" },
  { via: "virtual-media", grade: "sealed" },
];

describe.concurrent("a session's story", () => {
  it("goes away, works, comes home and says so", async () => {
    helloAtBoot();
    const summary = await (await start()).result();
    expect(summary).toMatchObject({ outcome: "succeeded", ending: "restored", untouched: false });
    expect(world.calls).toEqual([
      "capture",
      "stage",
      "arm 1",
      "off home",
      "on 1",
      "task 1-look",
      "off image",
      "restore",
      "on home",
      "verify",
      "close",
    ]);
    const last = world.records.at(-1);
    expect(last?.phases.map((phase) => phase.name)).toEqual([
      "planning",
      "capturing",
      "staging",
      "arming",
      "rebooting",
      "working",
      "restoring",
      "verifying",
      "restored",
    ]);
    expect(world.snapshots.size).toBe(0);
    expect(world.power).toBe("On");
  });

  it("a target that was off ends off", async () => {
    world.power = "Off";
    helloAtBoot();
    const summary = await (await start()).result();
    expect(summary).toMatchObject({ outcome: "succeeded", ending: "restored" });
    expect(world.calls).not.toContain("on home");
    expect(world.power).toBe("Off");
  });

  it("a passive session waits for done", async () => {
    const action = world.plan({ target: "x", session: "x", workflowId: "x" }).action;
    world.planOverrides = { action: action && { ...action, mode: "passive", tasks: [] } };
    world.onBoot = async (plan, epoch) => {
      await say(plan.session, epoch, "hello", { firmware: "bios", uptimeSeconds: 1 });
      await say(plan.session, epoch, "done", { outcome: "succeeded", reason: null, results: [result("1-self")] });
    };
    expect(await (await start()).result()).toMatchObject({ outcome: "succeeded", ending: "restored" });
    expect(world.records.at(-1)?.tasks.map((t) => t.id)).toEqual(["1-self"]);
  });

  it("a session without an image power-cycles the target and proves it", async () => {
    const action = world.plan({ target: "x", session: "x", workflowId: "x" }).action;
    world.planOverrides = { image: null, ways: [], action: action && { ...action, mode: "passive", tasks: [] } };
    expect(await (await start()).result()).toMatchObject({ outcome: "succeeded", ending: "restored" });
    expect(world.calls).toEqual(["capture", "off home", "restore", "on home", "verify", "close"]);
  });

  it("a refused plan fails the workflow, and the record tells whoever follows it why", async () => {
    world.planRefusal = ApplicationFailure.nonRetryable("The parameter is unknown.", "invalid");
    const handle = await start();
    await expect(handle.result()).rejects.toThrow(WorkflowFailedError);
    expect((await handle.describe()).status.name).toBe("FAILED");
    expect(world.calls).toEqual([]);
    expect(world.records).toMatchObject([
      {
        ...{ session: handle.firstExecutionRunId, target: `t${number()}`, action: "check", phase: "restored" },
        ...{ outcome: "failed", ending: "restored", untouched: true, endedAt: expect.any(String) },
        failure: { code: "invalid", message: "The parameter is unknown." },
      },
    ]);
  });

  it("an end without a plan is history before its record tells of it: no server that dies then makes another of it", async () => {
    world.planRefusal = ApplicationFailure.nonRetryable("The parameter is unknown.", "invalid");
    const known: string[] = [];
    world.onRecord = async () => {
      const { events } = await client().getHandle(`maintenance/t${number()}`).fetchHistory();
      for (const { activityTaskScheduledEventAttributes: scheduled } of events ?? [])
        if (scheduled?.activityType?.name) known.push(scheduled.activityType.name);
    };
    await expect((await start()).result()).rejects.toThrow(WorkflowFailedError);
    expect(known).toEqual(["recordSession"]);
  });

  it("a catalogue that is away while a session begins is waited for, and costs nothing but time", async () => {
    const there = world.central();
    const tried: Record<string, number> = {};
    const away = (name: "planSession" | "recordSession" | "keepSnapshot") => async (input: never) => {
      tried[name] = (tried[name] ?? 0) + 1;
      // More often than a local activity is tried.
      if (tried[name] <= 6) throw ApplicationFailure.retryable("The disk is full.", "unreachable");
      return await there[name](input);
    };
    const three = {
      planSession: away("planSession"),
      recordSession: away("recordSession"),
      keepSnapshot: away("keepSnapshot"),
    };
    world.central = () => ({ ...there, ...three }) as CentralActivities;
    helloAtBoot();
    expect(await (await start()).result()).toMatchObject({ outcome: "succeeded", ending: "restored" });
    expect(tried).toMatchObject({ planSession: 7, keepSnapshot: 7 });
  });

  it("a start by hand that gives no text where text is wanted leaves a record that can be read", async () => {
    world.planRefusal = ApplicationFailure.nonRetryable("The action is no text.", "invalid");
    const handle = await start({ action: 5, image: {}, requestedBy: ["me"], campaign: 7 });
    await expect(handle.result()).rejects.toThrow(WorkflowFailedError);
    const said = { action: null, image: null, requestedBy: "unknown", campaign: null };
    expect(SessionRecord.parse({ ...world.records[0], findings: null })).toMatchObject(said);
  });

  it("a refused capture leaves the target untouched", async () => {
    world.override.captureSnapshot = async () => {
      throw ApplicationFailure.nonRetryable("The password was refused.", "unauthorized");
    };
    expect(await (await start()).result()).toMatchObject({
      outcome: "failed",
      ending: "restored",
      untouched: true,
      failure: { code: "unauthorized", message: "The password was refused." },
    });
    expect(world.calls).toEqual(["close"]);
  });

  it("a failed task is the work's outcome, and the target comes home", async () => {
    helloAtBoot();
    world.override.offerTask = async ({ task: offered }) => result(offered.id, "failed");
    expect(await (await start()).result()).toMatchObject({
      outcome: "failed",
      ending: "restored",
      failure: { code: "taskFailed" },
    });
  });

  it("a missed first contact is diagnosed, armed again, and then given up", async () => {
    const summary = await (await start()).result();
    const message = "The image made no contact in 2 boots: it never asked for its boot script.";
    expect(summary).toMatchObject({ outcome: "failed", ending: "restored", failure: { code: "noContact", message } });
    expect(world.calls.filter((call) => /^(arm|diagnose|on)/.test(call))).toEqual([
      "arm 1",
      "on 1",
      "diagnose",
      "arm 2",
      "on 2",
      "diagnose",
      "on home",
    ]);
  });

  it("a way without contact gives way to the next one, in numbered armings, and the record says so", async () => {
    world.planOverrides = { ways: TWO_WAYS, limits: { ...shortWork, bootMs: 500, bootAttempts: 2, workMs: 20_000 } };
    world.onBoot = async (plan, epoch) => {
      if (epoch === 3) await say(plan.session, epoch, "hello", { firmware: "bios", uptimeSeconds: 1 });
    };
    expect(await (await start()).result()).toMatchObject({ outcome: "succeeded", ending: "restored", failure: null });
    expect(world.calls.filter((call) => /^(stage|arm|diagnose|restore)/.test(call))).toEqual([
      ...["stage", "arm 1", "diagnose", "arm 2", "diagnose"],
      ...["stage", "arm 3 by virtual-media", "restore"],
    ]);
    const record = world.records.at(-1);
    expect(record?.diagnoses).toMatchObject([{ via: "pxe" }, { via: "pxe" }]);
    expect(record?.notes).toContain("pxe made no contact; trying virtual-media.");
    expect(record?.contacts).toMatchObject([{ epoch: 3 }]);
  });

  it("ways that all make no contact are told in one sentence, with how often and by what the last boot was", async () => {
    world.planOverrides = { ways: TWO_WAYS, limits: { ...shortWork, bootMs: 500 } };
    expect(await (await start()).result()).toMatchObject({
      outcome: "failed",
      ending: "restored",
      failure: {
        code: "noContact",
        message: "The image made no contact in 2 boots, the last by virtual-media: it never asked for its boot script.",
      },
    });
  });

  it.each(["stageImage", "armTarget"] as const)(
    "a way that %s refuses gives way to the next one, before the target goes down",
    async (step) => {
      helloAtBoot();
      world.planOverrides = { ways: TWO_WAYS };
      const does = world.site()[step];
      world.override[step] = (async (input: Parameters<typeof does>[0]) => {
        if (input.way.via === "pxe") throw ApplicationFailure.nonRetryable("There is no network.", "refused");
        return await does(input as never);
      }) as never;
      expect(await (await start()).result()).toMatchObject({ outcome: "succeeded", failure: null });
      const record = world.records.at(-1);
      expect(record?.notes).toContain("pxe is refused; trying virtual-media: There is no network.");
      expect(record?.diagnoses).toEqual([]);
      expect(world.calls.filter((call) => /^(off|on)/.test(call))).toHaveLength(4);
    },
  );

  it("a last way that is refused does not hide that the ways before it made no contact", async () => {
    world.planOverrides = { ways: TWO_WAYS, limits: { ...shortWork, bootMs: 500 } };
    const stage = world.site().stageImage;
    world.override.stageImage = async (input) => {
      if (input.way.via === "pxe") return await stage(input);
      throw ApplicationFailure.nonRetryable("The site has no GRUB.", "refused");
    };
    expect(await (await start()).result()).toMatchObject({
      failure: { code: "noContact", message: expect.stringContaining("in 1 boot, the last by pxe") },
    });
    expect(world.records.at(-1)?.notes).toContain("virtual-media is refused: The site has no GRUB.");
  });

  it("an action that resumes boots again by the way that made contact", async () => {
    const action = world.plan({ target: "x", session: "x", workflowId: "x" }).action;
    world.planOverrides = {
      ways: TWO_WAYS,
      action: action && { ...action, onReboot: "resume" },
      limits: { ...shortWork, bootMs: 500, workMs: 20_000 },
    };
    world.onBoot = async (plan, epoch) => {
      if (epoch > 1) await say(plan.session, epoch, "hello", { firmware: "bios", uptimeSeconds: 1 });
    };
    let offers = 0;
    world.override.offerTask = async ({ plan, task: offered }) => {
      if (++offers > 1) return result(offered.id);
      await say(plan.session, 2, "rebooted", { how: "a second hello" });
      return (await untilCancelled()) as never;
    };
    expect(await (await start()).result()).toMatchObject({ outcome: "succeeded", ending: "restored" });
    expect(world.calls.filter((call) => call.startsWith("arm"))).toEqual([
      ...["arm 1", "arm 2 by virtual-media", "arm 3 by virtual-media"],
    ]);
  });

  it("a boot that ends in the target's own system is seen at once and armed again", async () => {
    world.planOverrides = {
      limits: {
        gracefulMs: 1000,
        bootMs: 600_000,
        bootAttempts: 2,
        workMs: 20_000,
        leaseMs: 5000,
        homeMs: 2000,
        totalMs: 3_600_000,
      },
    };
    world.onBoot = async (plan, epoch) => {
      if (epoch === 2) return await say(plan.session, epoch, "hello", { firmware: "bios", uptimeSeconds: 1 });
      world.running = "home";
      await say(plan.session, epoch, "rebooted", { how: "its own system answers" });
    };
    expect(await (await start()).result()).toMatchObject({ outcome: "succeeded", ending: "restored" });
    expect(world.calls.filter((call) => /^(off|on|diagnose)/.test(call))).toEqual([
      "off home",
      "on 1",
      "diagnose",
      "off home",
      "on 2",
      "off image",
      "on home",
    ]);
  });

  it("a word of home from before the power-on costs a look, not an attempt", async () => {
    world.onBoot = async (plan, epoch) => {
      await say(plan.session, epoch, "rebooted", { how: "its own system answers" });
      await new Promise((resolve) => setTimeout(resolve, 300));
      await say(plan.session, epoch, "hello", { firmware: "bios", uptimeSeconds: 1 });
    };
    expect(await (await start()).result()).toMatchObject({ outcome: "succeeded", ending: "restored" });
    expect(world.calls).not.toContain("diagnose");
  });

  it("a hello of an earlier arming, or of another session, is void", async () => {
    world.onBoot = async (plan, epoch) => {
      if (epoch === 1) return;
      await say(plan.session, 1, "hello");
      await say("another-session", epoch, "hello");
    };
    expect(await (await start()).result()).toMatchObject({ outcome: "failed", failure: { code: "noContact" } });
  });

  it.each(["before", "after"])("a done of another boot is void, be it %s the hello", async (when) => {
    const action = world.plan({ target: "x", session: "x", workflowId: "x" }).action;
    world.planOverrides = { action: action && { ...action, mode: "passive", tasks: [] } };
    const done = { outcome: "succeeded", reason: null, results: [] };
    world.onBoot = async (plan, epoch) => {
      const stray = () => say(plan.session, epoch, "done", { ...done, bootId: "boot-of-another" });
      if (when === "before") await stray();
      await say(plan.session, epoch, "hello");
      if (when === "after") await stray();
      await say(plan.session, epoch, "done", { ...done, outcome: "failed", reason: "its own word" });
    };
    const summary = await (await start()).result();
    expect(summary).toMatchObject({ outcome: "failed", ending: "restored", failure: { message: "its own word" } });
  });

  it.each([
    ["nothing", []],
    ["null", [null]],
    ["text", ["hello"]],
    ["half a message", [(session: string) => ({ session, epoch: 1 })]],
    [
      "another shape",
      [(session: string) => ({ session, epoch: 1, bootId: "boot-1", how: {}, outcome: {}, results: [], firmware: {} })],
    ],
  ])("a signal of %s is let fall, and the session goes on", async (_, args) => {
    world.override.offerTask = untilCancelled as never;
    helloAtBoot();
    const handle = await start();
    await reach("working");
    const whole = args.map((arg) => (typeof arg === "function" ? arg(handle.firstExecutionRunId) : arg));
    for (const name of ["hello", "done", "rebooted"]) await handle.signal(name, ...whole);
    await reach("working");
    await handle.executeUpdate("abort", { args: [{ by: "ada" }] });
    expect(await handle.result()).toMatchObject({ outcome: "aborted", ending: "restored" });
  });

  it.each([
    ["a person who is no text", "abort", { by: { name: "ada" } }],
    ["a reason that is no text", "abort", { by: "ada", reason: 7 }],
    ["half a task", "supplyTask", { by: "ada", task: { name: "more" }, last: false }],
    ["no task at all", "supplyTask", { by: "ada" }],
    ["nothing", "abort", null],
  ])("an update with %s is refused, and the session goes on", async (_, name, argument) => {
    world.override.offerTask = untilCancelled as never;
    helloAtBoot();
    const handle = await start();
    await reach("working");
    await expect(handle.executeUpdate(name, { args: [argument] })).rejects.toThrow(WorkflowUpdateFailedError);
    await handle.executeUpdate("abort", { args: [{ by: "ada" }] });
    expect(await handle.result()).toMatchObject({ outcome: "aborted", failure: { message: "Aborted by ada." } });
  });

  it.each(["arming", "rebooting", "working"])("abort in %s leads home", async (phase) => {
    if (phase !== "rebooting") helloAtBoot();
    if (phase === "arming") world.override.armTarget = untilCancelled as never;
    if (phase === "working") world.override.offerTask = untilCancelled as never;
    const handle = await start();
    await reach(phase);
    await handle.executeUpdate("abort", { args: [{ by: "ada", reason: "enough" }] });
    expect(await handle.result()).toMatchObject({
      outcome: "aborted",
      ending: "restored",
      failure: { message: "Aborted by ada: enough." },
    });
    expect(world.power).toBe("On");
    expect(world.calls).toContain("restore");
  });

  it("an abort while the target is armed, which the site cannot cut short, does not ask its system to go", async () => {
    let finishArming = () => {};
    const armed = new Promise<void>((resolve) => {
      finishArming = resolve;
    });
    world.override.armTarget = async () => {
      await untilCancelled().catch(() => undefined);
      await armed;
      return {
        powerActions: [],
        bmcRequests: { total: 1, powerPolls: 0 },
        wrote: true,
        grade: "lan" as const,
        notes: [],
      };
    };
    const handle = await start();
    await reach("arming");
    await handle.executeUpdate("abort", { args: [{ by: "ada" }] });
    finishArming();
    expect(await handle.result()).toMatchObject({ outcome: "aborted", ending: "restored" });
    expect(world.records.at(-1)?.phases.map(({ name }) => name)).not.toContain("rebooting");
    expect(world.calls).toEqual(["capture", "stage", "locate", "restore", "verify", "close"]);
  });

  it("cancelling the workflow means abort", async () => {
    helloAtBoot();
    world.override.offerTask = untilCancelled as never;
    const handle = await start();
    await reach("working");
    await handle.cancel();
    expect(await handle.result()).toMatchObject({ outcome: "aborted", ending: "restored" });
    expect(world.calls.slice(-5)).toEqual(["off image", "restore", "on home", "verify", "close"]);
  });

  it.each([
    ["an abort", { outcome: "aborted", failure: { message: "Aborted by ada: enough." } }],
    ["a cancellation in Temporal", { outcome: "aborted" }],
    ["the work's deadline", { outcome: "timedOut" }],
  ])("a task that the agent stops because of %s does not count as failed work", async (cause, ended) => {
    helloAtBoot();
    if (cause.includes("deadline")) world.planOverrides = { limits: shortWork };
    world.override.offerTask = async ({ task: offered }) => {
      await untilCancelled().catch(() => undefined);
      return result(offered.id, "cancelled");
    };
    const handle = await start();
    await reach("working");
    if (cause.includes("abort")) await handle.executeUpdate("abort", { args: [{ by: "ada", reason: "enough" }] });
    if (cause.includes("Temporal")) await handle.cancel();
    expect(await handle.result()).toMatchObject({ ...ended, ending: "restored" });
    expect(world.records.at(-1)?.tasks).toMatchObject([{ id: "1-look", status: "cancelled" }]);
  });

  it("work that runs into its deadline is timedOut, and the target comes home", async () => {
    helloAtBoot();
    world.planOverrides = { limits: shortWork };
    world.override.offerTask = untilCancelled as never;
    expect(await (await start()).result()).toMatchObject({ outcome: "timedOut", ending: "restored" });
  });

  it("an unplanned reboot in the image restores by default", async () => {
    helloAtBoot();
    world.override.offerTask = async ({ plan }) => {
      await say(plan.session, 1, "rebooted", { how: "a second hello" });
      return (await untilCancelled()) as never;
    };
    const summary = await (await start()).result();
    expect(summary).toMatchObject({ outcome: "failed", ending: "restored", failure: { code: "rebooted" } });
  });

  it("an unplanned reboot resumes where the action says so", async () => {
    helloAtBoot();
    const action = world.plan({ target: "x", session: "x", workflowId: "x" }).action;
    world.planOverrides = {
      action: action && { ...action, onReboot: "resume", tasks: [task("1-first"), task("2-second")] },
    };
    let offers = 0;
    world.override.offerTask = async ({ plan, task: offered }) => {
      world.calls.push(`task ${offered.id}`);
      if (offered.id === "2-second" && ++offers === 1) {
        await say(plan.session, 1, "rebooted", { how: "a second hello" });
        return (await untilCancelled()) as never;
      }
      return result(offered.id);
    };
    expect(await (await start()).result()).toMatchObject({ outcome: "succeeded", ending: "restored" });
    expect(world.calls.filter((call) => call.startsWith("task"))).toEqual([
      "task 1-first",
      "task 2-second",
      "task 2-second",
    ]);
  });

  it("a return that cannot be proved is stranded, keeps its lock, and ends when a retry proves it", async () => {
    helloAtBoot();
    const asked: (boolean | null)[] = [];
    const verify = world.site().verifyHome;
    world.override.verifyHome = async (input) => {
      asked.push(input.rebooted);
      if (asked.length > 1) return await verify(input);
      return {
        powerActions: [],
        bmcRequests: { total: 0, powerPolls: 0 },
        waitedMs: 1,
        provedAt: new Date().toISOString(),
        verdict: {
          proved: false,
          strength: "none",
          checks: [],
          after: bootState("On"),
          differences: [],
          added: [],
          reason: "nobody answered",
        },
      };
    };
    const handle = await start();
    await reach("stranded");
    const announced = { ending: "stranded", stranded: { message: "nobody answered" } };
    await vi.waitFor(() => expect(world.records.at(-1)).toMatchObject(announced), WITHIN);
    await expect(start()).rejects.toThrow(/already started/i);
    await expect(handle.executeUpdate("abort", { args: [{ by: "ada" }] })).rejects.toMatchObject({
      cause: { message: expect.stringContaining("on its way home") },
    });
    await handle.executeUpdate("retryRestore", { args: [{ by: "ada" }] });
    expect(await handle.result()).toMatchObject({ outcome: "succeeded", ending: "restored", stranded: null });
    // What may be home already is never forced off.
    expect(world.calls.filter((call) => call === "off image")).toHaveLength(1);
    // What the first proof was refused for may have been a power reading that lied: after a person's word either boot is home.
    expect(asked).toEqual([true, null]);
  });

  it("a BMC that is away on the way home is waited for, said so, and nobody is called", async () => {
    helloAtBoot();
    let away = 1;
    const restore = world.site().restoreBoot;
    world.override.restoreBoot = async (input) => {
      if (away > 0) throw ApplicationFailure.nonRetryable("The BMC does not answer.", "unreachable");
      return await restore(input);
    };
    let asks = 0;
    world.override.awaitControl = async () => {
      asks++;
      if (asks < 3) throw ApplicationFailure.create({ message: "The BMC does not answer.", type: "unreachable" });
      away = 0;
      return { powerActions: [], bmcRequests: { total: 1, powerPolls: 0 }, attempts: Context.current().info.attempt };
    };
    const handle = await start();
    expect(await handle.result()).toMatchObject({ outcome: "succeeded", ending: "restored", stranded: null });
    expect(asks).toBe(3);
    const waiting = world.records.find((record) => record.waitingFor !== null);
    expect(waiting).toMatchObject({
      phase: "restoring",
      ending: null,
      waitingFor: { what: `the BMC of t${number()}` },
    });
    expect(world.records.some((record) => record.ending === "stranded")).toBe(false);
    expect(world.records.at(-1)?.waitingFor).toBeNull();
  });

  it.each(["retried", "released"])("what waits for a BMC that is away may be %s by a person", async (how) => {
    helloAtBoot();
    let away = true;
    const restore = world.site().restoreBoot;
    world.override.restoreBoot = async (input) => {
      if (away) throw ApplicationFailure.nonRetryable("The BMC does not answer.", "unreachable");
      return await restore(input);
    };
    const seen: number[] = [];
    world.override.awaitControl = async () => {
      throw ApplicationFailure.create({ message: "The BMC does not answer.", type: "unreachable" });
    };
    const verify = world.site().verifyHome;
    world.override.verifyHome = async (input) => {
      seen.push(input.plan.now.retries);
      return await verify(input);
    };
    const handle = await start();
    await expect(handle.executeUpdate("retryRestore", { args: [{ by: "ada" }] })).rejects.toThrow();
    await vi.waitFor(() => expect(world.records.some((record) => record.waitingFor)).toBe(true), WITHIN);
    if (how === "released") {
      await handle.executeUpdate("releaseTarget", { args: [{ by: "ada", reason: "scrapped" }] });
      expect(await handle.result()).toMatchObject({ ending: "released" });
      expect(world.records.at(-1)).toMatchObject({ waitingFor: null, released: { by: "ada" } });
    } else {
      away = false;
      await handle.executeUpdate("retryRestore", { args: [{ by: "ada" }] });
      expect(await handle.result()).toMatchObject({ ending: "restored" });
      expect(seen).toEqual([1]);
    }
  });

  it.each([
    { wrote: false, untouched: true, unsure: false },
    { wrote: true, untouched: false, unsure: true },
  ])("an arming that was refused, and wrote: $wrote, leaves its target untouched: $untouched", async (of) => {
    world.override.armTarget = async () => {
      throw ApplicationFailure.create({
        ...{ message: "The BMC has no such boot source.", type: "refused", nonRetryable: true },
        details: [{ powerActions: [], wrote: of.wrote }],
      });
    };
    const restore = world.site().restoreBoot;
    const unsure: (boolean | undefined)[] = [];
    world.override.restoreBoot = async (input) => {
      unsure.push(input.armUnsure);
      return await restore(input);
    };
    expect(await (await start()).result()).toMatchObject({ ending: "restored", untouched: of.untouched });
    expect(unsure).toEqual([of.unsure]);
    expect(world.calls).toEqual(["capture", "stage", "locate", "restore", "verify", "close"]);
    expect(world.proofs).toMatchObject([{ rebooted: false, watchLateOffMs: 0 }]);
  });

  it("a BMC that is away while the target leaves is waited for too, and the work is done", async () => {
    helloAtBoot();
    let away = true;
    const arm = world.site().armTarget;
    world.override.armTarget = async (input) => {
      if (away) throw ApplicationFailure.nonRetryable("The BMC does not answer.", "unreachable");
      return await arm(input);
    };
    world.override.awaitControl = async () => {
      const { attempt } = Context.current().info;
      if (attempt === 1) throw ApplicationFailure.create({ message: "no answer", type: "unreachable" });
      away = false;
      return { powerActions: [], bmcRequests: { total: 1, powerPolls: 0 }, attempts: attempt };
    };
    expect(await (await start()).result()).toMatchObject({ outcome: "succeeded", ending: "restored", failure: null });
  });

  it("a step that fails though its BMC answers calls a person after three attempts", async () => {
    helloAtBoot();
    world.override.restoreBoot = async () => {
      throw ApplicationFailure.nonRetryable("It is told Off, and is on.", "unreachable");
    };
    const handle = await start();
    await reach("stranded");
    await handle.executeUpdate("releaseTarget", { args: [{ by: "ada", reason: "end of the test" }] });
    await handle.result();
    expect(world.calls.filter((call) => call === "await")).toHaveLength(3);
  });

  it("a login that is refused once on the way home is tried once more after a minute", {
    timeout: 180_000,
  }, async () => {
    helloAtBoot();
    let refusals = 1;
    const restore = world.site().restoreBoot;
    world.override.restoreBoot = async (input) => {
      if (refusals-- > 0) throw ApplicationFailure.nonRetryable("The password was refused.", "unauthorized");
      return await restore(input);
    };
    expect(await (await start()).result()).toMatchObject({ ending: "restored", stranded: null });
  });

  it("a retry acts at once, though the catalogue is away and the stranding cannot be recorded", async () => {
    helloAtBoot();
    let refusals = 1;
    const restore = world.site().restoreBoot;
    world.override.restoreBoot = async (input) => {
      if (refusals-- > 0) throw ApplicationFailure.nonRetryable("Its own system gave no proof.", "homeNotProved");
      return await restore(input);
    };
    let isAway = false;
    world.onRecord = async (record) => {
      if (record.ending === "stranded") isAway = true;
      if (isAway) throw ApplicationFailure.create({ message: "The catalogue is away.", type: "unreachable" });
    };
    const handle = await start();
    await reach("stranded");
    await handle.executeUpdate("retryRestore", { args: [{ by: "ada" }] });
    await vi.waitFor(() => expect(world.calls).toContain("close"), WITHIN);
    isAway = false;
    world.onRecord = async () => undefined;
    expect(await handle.result()).toMatchObject({ ending: "restored" });
    expect(world.records.at(-1)).toMatchObject({ ending: "restored", stranded: null });
  });

  it("an image that took long to stage, and a wait for an approval, move the session's end at the site", async () => {
    helloAtBoot();
    const ends: { leftMs: number; moved: number }[] = [];
    const stage = world.site().stageImage;
    world.override.stageImage = async (input) => {
      ends.push(input.plan.now);
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      return await stage(input);
    };
    const arm = world.site().armTarget;
    world.override.armTarget = async (input) => {
      ends.push(input.plan.now);
      return await arm(input);
    };
    expect(await (await start()).result()).toMatchObject({ outcome: "succeeded" });
    expect(ends).toMatchObject([{ moved: 0 }, { moved: 1 }]);
    expect(ends[1]?.leftMs).toBeGreaterThan((ends[0]?.leftMs ?? 0) - 1_000);
  });

  it("an action that resumes has all its boot attempts again after a reboot", async () => {
    const action = world.plan({ target: "x", session: "x", workflowId: "x" }).action;
    world.planOverrides = {
      action: action && { ...action, onReboot: "resume" },
      limits: { ...shortWork, workMs: 20_000, bootAttempts: 2, bootMs: 500 },
    };
    world.onBoot = async (plan, epoch) => {
      if (epoch !== 2) await say(plan.session, epoch, "hello", { firmware: "bios", uptimeSeconds: 1 });
    };
    let offers = 0;
    world.override.offerTask = async ({ plan, task: offered }) => {
      if (++offers > 1) return result(offered.id);
      await say(plan.session, 1, "rebooted", { how: "a second hello" });
      return (await untilCancelled()) as never;
    };
    expect(await (await start()).result()).toMatchObject({ outcome: "succeeded", ending: "restored" });
    expect(world.calls.filter((call) => call.startsWith("arm"))).toEqual(["arm 1", "arm 2", "arm 3"]);
  });

  it("a stranded target is released by a named person with a reason, and not without", async () => {
    helloAtBoot();
    world.override.restoreBoot = async () => {
      throw ApplicationFailure.nonRetryable("Its own system gave no proof.", "homeNotProved");
    };
    const handle = await start();
    await reach("stranded");
    await expect(handle.executeUpdate("releaseTarget", { args: [{ by: "ada" }] })).rejects.toThrow();
    await handle.executeUpdate("releaseTarget", { args: [{ by: "ada", reason: "scrapped" }] });
    expect(await handle.result()).toMatchObject({ ending: "released" } satisfies Partial<SessionSummary>);
    expect(world.records.at(-1)?.released).toEqual({ by: "ada", reason: "scrapped" });
  });

  it("an aborted shutdown leaves the target's own system running, disarmed under it", async () => {
    world.override.ensureOff = async ({ running: what }) => {
      world.calls.push(`off ${what}`);
      throw ApplicationFailure.nonRetryable("It did not power off within 180s.", "refused");
    };
    const summary = await (await start()).result();
    expect(summary).toMatchObject({ outcome: "failed", ending: "restored", failure: { code: "refused" } });
    expect(world.calls).toEqual(["capture", "stage", "arm 1", "off home", "locate", "restore", "verify", "close"]);
  });

  it("a system that hangs in its shutdown and answers no more is not forced off either", async () => {
    world.override.ensureOff = async ({ running: what }) => {
      world.calls.push(`off ${what}`);
      throw ApplicationFailure.nonRetryable("It did not power off within 180s.", "refused");
    };
    world.override.locateTarget = async () => ({
      where: "unknown",
      powerActions: [],
      bmcRequests: { total: 0, powerPolls: 0 },
    });
    const summary = await (await start()).result();
    expect(summary).toMatchObject({ outcome: "failed", ending: "restored" });
    expect(world.calls.filter((call) => call.startsWith("off"))).toEqual(["off home"]);
  });

  it.each(["home", "unknown"] as const)(
    "a target that left the image by itself, and is %s, is not forced off: it may be its own system",
    async (where) => {
      helloAtBoot();
      world.override.offerTask = async ({ plan }) => {
        world.where = where;
        await say(plan.session, 1, "rebooted", { how: "its own system answers" });
        return (await untilCancelled()) as never;
      };
      expect(await (await start()).result()).toMatchObject({ failure: { code: "rebooted" }, ending: "restored" });
      expect(world.calls.filter((call) => /^(off|on)/.test(call))).toEqual(["off home", "on 1"]);
      expect(world.proofs).toMatchObject([{ rebooted: true }]);
    },
  );

  it("a system that the site finds in the image's place is left alone and disarmed under it", async () => {
    helloAtBoot();
    const ensureOff = world.site().ensureOff;
    world.override.ensureOff = async (input) => {
      const done = await ensureOff(input);
      if (input.running === "home") return done;
      world.power = "On";
      return { ...done, off: false };
    };
    expect(await (await start()).result()).toMatchObject({ ending: "restored" });
    expect(world.calls.slice(-4)).toEqual(["off image", "restore", "verify", "close"]);
  });

  it("a second boot's shutdown that hangs does not end in force either", async () => {
    world.onBoot = async (plan, epoch) => {
      world.running = "home";
      await say(plan.session, epoch, "rebooted", { how: "its own system answers" });
    };
    const ensureOff = world.site().ensureOff;
    world.override.ensureOff = async (input) => {
      if (!world.calls.includes("off home")) return await ensureOff(input);
      world.calls.push(`off ${input.running}`);
      world.where = "unknown";
      throw ApplicationFailure.nonRetryable("It did not power off within 180s.", "refused");
    };
    expect(await (await start()).result()).toMatchObject({ failure: { code: "refused" }, ending: "restored" });
    expect(world.calls.filter((call) => /^(off|on)/.test(call))).toEqual(["off home", "on 1", "off home"]);
  });

  it("a target that was off and was turned on meanwhile is asked to go, not forced", async () => {
    world.power = "Off";
    helloAtBoot();
    expect(await (await start()).result()).toMatchObject({ ending: "restored" });
    expect(world.calls.filter((call) => call.startsWith("off"))).toEqual(["off home", "off image"]);
  });

  it("a system that obeys its shutdown late comes home in a new boot, and that is proof", async () => {
    world.override.ensureOff = async () => {
      world.power = "Off";
      throw ApplicationFailure.nonRetryable("It did not power off within 180s.", "refused");
    };
    expect(await (await start()).result()).toMatchObject({ failure: { code: "refused" }, ending: "restored" });
    expect(world.proofs).toMatchObject([{ rebooted: true, watchLateOffMs: 0 }]);
    expect(world.power).toBe("On");
  });

  it("an aborted shutdown is watched for as long as its system may take to obey, and either boot is proof", async () => {
    world.planOverrides = {
      limits: {
        gracefulMs: 100_000,
        bootMs: 2000,
        bootAttempts: 1,
        workMs: 20_000,
        leaseMs: 5000,
        homeMs: 2000,
        totalMs: 3_600_000,
      },
    };
    world.override.ensureOff = untilCancelled as never;
    const handle = await start();
    await reach("rebooting");
    await handle.executeUpdate("abort", { args: [{ by: "ada" }] });
    expect(await handle.result()).toMatchObject({ outcome: "aborted", ending: "restored" });
    expect(world.proofs[0]?.rebooted).toBe(null);
    expect(world.proofs[0]?.watchLateOffMs).toBeGreaterThan(100_000);
  });

  it.each([
    { what: "that was not seen to be done is taken back whatever the BMC shows", fails: true },
    { what: "that was seen is taken back where it shows", fails: false },
  ])("an arming $what", async ({ fails }) => {
    const base = world.site();
    const unsure: unknown[] = [];
    if (fails) {
      world.override.armTarget = async () => {
        throw ApplicationFailure.nonRetryable("it still shows Disabled", "refused");
      };
    }
    world.override.restoreBoot = async (input) => {
      unsure.push(input.armUnsure);
      return await base.restoreBoot(input);
    };
    helloAtBoot();
    expect(await (await start()).result()).toMatchObject({ ending: "restored" });
    expect(unsure).toEqual([fails]);
  });

  it("an abort while nothing is heard of the boot leaves it alone, until its own system's time to come up is over", async () => {
    const base = world.site();
    const asked: number[] = [];
    world.where = "unknown";
    world.override.ensureOff = async (input) => {
      if (input.running !== "image") return await base.ensureOff(input);
      asked.push(input.unseenMs ?? -1);
      return asked.length === 1
        ? { powerActions: [], bmcRequests: { total: 0, powerPolls: 0 }, off: false, tookMs: 0 }
        : await base.ensureOff(input);
    };
    world.override.verifyHome = async (input) => {
      const proof = await base.verifyHome(input);
      return asked.length === 1 ? { ...proof, verdict: { ...proof.verdict, proved: false } } : proof;
    };
    const handle = await start();
    await reach("rebooting");
    while (!world.calls.includes("on 1")) await new Promise((resolve) => setTimeout(resolve, 20));
    await handle.executeUpdate("abort", { args: [{ by: "ada" }] });
    expect(await handle.result()).toMatchObject({ outcome: "aborted", ending: "restored" });
    expect(asked[0]).toBeGreaterThanOrEqual(0);
    expect(asked[1], "the same boot, a while later").toBeGreaterThanOrEqual(asked[0] ?? 0);
    expect(world.calls.slice(world.calls.indexOf("on 1"))).toEqual([
      ...["on 1", "locate", "restore", "verify"],
      ...["locate", "off image", "restore", "on home", "verify", "close"],
    ]);
  });

  it("a second shutdown that was given up is watched for like the first one", async () => {
    const base = world.site();
    let asked = 0;
    world.override.ensureOff = async (input) => {
      asked += input.running === "home" ? 1 : 0;
      if (asked === 2) throw ApplicationFailure.nonRetryable("the BMC refuses to be read", "refused");
      return await base.ensureOff(input);
    };
    world.override.locateTarget = async () => ({
      ...{ powerActions: [], bmcRequests: { total: 0, powerPolls: 0 } },
      where: "home",
    });
    world.planOverrides = { limits: { ...shortWork, gracefulMs: 100_000, bootAttempts: 2, bootMs: 100 } };
    expect(await (await start()).result()).toMatchObject({ ending: "restored" });
    expect(asked).toBe(2);
    expect(world.proofs[0]?.watchLateOffMs).toBeGreaterThan(100_000);
  });

  it.each([
    { what: "was not obeyed in its whole time is watched for half a minute more", mayObeyMs: 0, watchedMs: 30_000 },
    { what: "failed midway is watched for its whole time again, whatever the clocks say", watchedMs: 130_000 },
  ])("a shutdown that $what", async ({ mayObeyMs, watchedMs }) => {
    const base = world.site();
    const at = new Date(Date.now() - 3_600_000).toISOString();
    world.override.ensureOff = async (input) => {
      if (input.running !== "home") return await base.ensureOff(input);
      throw ApplicationFailure.create({
        message: "it did not obey",
        type: "refused",
        nonRetryable: true,
        details: [{ powerActions: [{ at, what: "GracefulShutdown", why: "test", result: "unanswered" }], mayObeyMs }],
      });
    };
    world.planOverrides = { limits: { ...shortWork, gracefulMs: 100_000 } };
    expect(await (await start()).result()).toMatchObject({ ending: "restored" });
    expect(world.proofs[0]?.watchLateOffMs).toBe(watchedMs);
  });

  it("a lost session's target that says nothing is not forced off, and any boot of it is home", async () => {
    const capture = world.site().captureSnapshot;
    world.override.captureSnapshot = async (input) => {
      const captured = await capture(input);
      return { ...captured, snapshot: { ...captured.snapshot, session: "lost" } };
    };
    world.where = "unknown";
    expect(await (await start()).result()).toMatchObject({ failure: { code: "conflict" }, ending: "restored" });
    expect(world.calls).toEqual(["capture", "locate", "restore", "verify", "close"]);
    expect(world.proofs).toMatchObject([{ rebooted: null }]);
  });

  it("a lost session's target is brought home though its capture fails now, and without an approval", async () => {
    const own = world.plan({ target: `t${number()}`, session: "lost", workflowId: "x" });
    const { snapshot } = await world
      .site()
      .captureSnapshot({ plan: { ...own, now: { leftMs: 1, moved: 0, retries: 0 } } });
    world.calls.length = 0;
    world.planOverrides = { adopted: snapshot, action: own.action && { ...own.action, approval: true } };
    world.power = "Off";
    world.override.captureSnapshot = async () => {
      throw ApplicationFailure.nonRetryable("The password was refused.", "unauthorized");
    };
    expect(await (await start()).result()).toMatchObject({ ending: "restored", untouched: false });
    expect(world.calls).toEqual(["locate", "restore", "on home", "verify", "close"]);
    expect(world.closings).toEqual([{ untouched: false }]);
  });

  it("an abort that comes after a reboot was seen ends an action that would resume", async () => {
    helloAtBoot();
    const action = world.plan({ target: "x", session: "x", workflowId: "x" }).action;
    world.planOverrides = { action: action && { ...action, onReboot: "resume" } };
    const handle = await start();
    world.override.offerTask = async ({ plan }) => {
      await say(plan.session, 1, "rebooted", { how: "a second hello" });
      await untilCancelled().catch(() => undefined);
      await handle.executeUpdate("abort", { args: [{ by: "ada" }] });
      throw ApplicationFailure.nonRetryable("The boot is over.", "conflict");
    };
    expect(await handle.result()).toMatchObject({ outcome: "aborted", ending: "restored" });
    expect(world.calls).not.toContain("arm 2");
  });

  it("an agent's end that is heard together with its reboot resumes all the same", async () => {
    helloAtBoot();
    const action = world.plan({ target: "x", session: "x", workflowId: "x" }).action;
    world.planOverrides = { action: action && { ...action, onReboot: "resume" } };
    let offers = 0;
    world.override.offerTask = async ({ plan, task: offered }) => {
      if (++offers > 1) return result(offered.id);
      await say(plan.session, 1, "rebooted", { how: "a second hello" });
      throw ApplicationFailure.nonRetryable("The boot is over.", "conflict");
    };
    expect(await (await start()).result()).toMatchObject({ outcome: "succeeded", ending: "restored" });
  });

  it("a retry that is asked for while the stranding is still being announced counts", async () => {
    helloAtBoot();
    let refusals = 1;
    const restore = world.site().restoreBoot;
    world.override.restoreBoot = async (input) => {
      if (refusals-- > 0) throw ApplicationFailure.nonRetryable("Its own system gave no proof.", "homeNotProved");
      return await restore(input);
    };
    const handle = await start();
    world.onRecord = async (record) => {
      if (record.ending === "stranded") await handle.executeUpdate("retryRestore", { args: [{ by: "ada" }] });
    };
    expect(await handle.result()).toMatchObject({ ending: "restored" });
  });

  it("the snapshot of a lost session is adopted: home first, and the work is not begun", async () => {
    helloAtBoot();
    world.power = "Off";
    const capture = world.site().captureSnapshot;
    world.override.captureSnapshot = async (input) => {
      const captured = await capture(input);
      return { ...captured, snapshot: { ...captured.snapshot, session: "lost", state: bootState("On") } };
    };
    const summary = await (await start()).result();
    expect(summary).toMatchObject({ outcome: "failed", ending: "restored", failure: { code: "conflict" } });
    expect(world.calls).toEqual(["capture", "locate", "restore", "on home", "verify", "close"]);
    expect(world.power).toBe("On");
  });

  it("an action with approval waits for it", async () => {
    helloAtBoot();
    const action = world.plan({ target: "x", session: "x", workflowId: "x" }).action;
    world.planOverrides = { action: action && { ...action, approval: true } };
    const handle = await start();
    await reach("waiting");
    expect(world.calls).toEqual([]);
    let leftMs = 0;
    const capture = world.site().captureSnapshot;
    world.override.captureSnapshot = async (input) => {
      leftMs = input.plan.now.leftMs;
      return await capture(input);
    };
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    await handle.executeUpdate("approve", { args: [{ by: "ada" }] });
    expect(await handle.result()).toMatchObject({ outcome: "succeeded" });
    // What the wait took is not taken from the work.
    expect(leftMs).toBeGreaterThan(3_600_000 - 800);
  });

  it("supplied tasks run in the image", async () => {
    helloAtBoot();
    const action = world.plan({ target: "x", session: "x", workflowId: "x" }).action;
    world.planOverrides = { action: action && { ...action, interactive: true } };
    const handle = await start();
    await reach("working");
    const destructive = { ...task("s-wipe"), destructive: true, devices: ["/dev/sda"] };
    await expect(
      handle.executeUpdate("supplyTask", { args: [{ by: "prog", task: destructive, last: false }] }),
    ).rejects.toMatchObject({ cause: { message: expect.stringContaining("its action is not destructive") } });
    await handle.executeUpdate("supplyTask", { args: [{ by: "prog", task: task("s-more"), last: false }] });
    await handle.executeUpdate("supplyTask", { args: [{ by: "prog", task: null, last: true }] });
    expect(await handle.result()).toMatchObject({ outcome: "succeeded" });
    expect(world.calls.filter((call) => call.startsWith("task"))).toEqual(["task 1-look", "task s-more"]);
  });

  it("a supplied task that a reboot cut short is run after it, and the last one's word is kept", async () => {
    helloAtBoot();
    const action = world.plan({ target: "x", session: "x", workflowId: "x" }).action;
    world.planOverrides = { action: action && { ...action, interactive: true, onReboot: "resume" } };
    let cut = false;
    world.override.offerTask = async ({ plan, task: offered }) => {
      world.calls.push(`task ${offered.id}`);
      if (offered.id !== "s-more" || cut) return result(offered.id);
      cut = true;
      await say(plan.session, 1, "rebooted", { how: "a second hello" });
      return (await untilCancelled()) as never;
    };
    const handle = await start();
    await reach("working");
    await handle.executeUpdate("supplyTask", { args: [{ by: "prog", task: task("s-more"), last: true }] });
    expect(await handle.result()).toMatchObject({ outcome: "succeeded", ending: "restored" });
    expect(world.calls.filter((call) => call.startsWith("task"))).toEqual([
      "task 1-look",
      "task s-more",
      "task s-more",
    ]);
  });

  it.each(["unreachable", "refused"])(
    "a site that is %s at the end is told when it is back, and the record does not wait for that",
    async (code) => {
      helloAtBoot();
      let away = true;
      const close = world.site().closeSite;
      world.override.closeSite = async (input) => {
        if (away) throw ApplicationFailure.nonRetryable("Nobody is there.", code);
        return await close(input);
      };
      const handle = await start();
      await vi.waitFor(() => expect(world.records.at(-1)?.endedAt ?? null).not.toBe(null), WITHIN);
      await expect(start()).rejects.toThrow(/already started/i);
      away = false;
      expect(await handle.result()).toMatchObject({ outcome: "succeeded", ending: "restored" });
      expect(world.calls.at(-1)).toBe("close");
    },
  );

  it("a snapshot that the catalogue kept without saying so goes with its session", async () => {
    world.keepAnswers = false;
    expect(await (await start()).result()).toMatchObject({ ending: "restored", untouched: true });
    expect(world.snapshots.size).toBe(0);
    expect(world.records.at(-1)?.restore.before).toBe(null);
  });
});

describe.concurrent("a start that would break a promise is refused", () => {
  const refused = async (options: object) => {
    const target = `t${number()}`;
    const handle = await client().start("maintenanceSession", {
      workflowId: `maintenance/${target}`,
      taskQueue: "pitstop",
      args: [{ target, action: "check" }],
      ...options,
    });
    const error = await handle.result().then(
      () => null,
      (e: unknown) => e,
    );
    return error instanceof WorkflowFailedError ? (error.cause?.message ?? "") : String(error);
  };

  it.each([
    [{ workflowId: "something-else" }, "is the target's lock"],
    [{ workflowRunTimeout: "1h" }, "without an execution or run timeout"],
    [{ workflowExecutionTimeout: "1h" }, "without an execution or run timeout"],
    [{ retry: { maximumAttempts: 3 } }, "without a retry policy"],
    [{ args: [] }, "Give one JSON argument"],
  ])("%o", async (options, sentence) => {
    expect(await refused(options)).toContain(sentence);
    expect(world.calls).toEqual([]);
  });
});

describe.concurrent("a campaign", () => {
  it("a session that was terminated is told as stranded, not as home", async () => {
    world.override.offerTask = untilCancelled as never;
    world.onBoot = (plan, epoch) =>
      client()
        .getHandle(plan.workflowId)
        .signal("hello", { session: plan.session, epoch, bootId: "b", at: new Date().toISOString() });
    const campaign = await client().start("maintenanceCampaign", {
      workflowId: `campaign-${number()}`,
      taskQueue: "pitstop",
      args: [{ targets: [`t${number()}`], action: "check" }],
    });
    await vi.waitFor(() => expect(world.calls).toContain("on 1"), WITHIN);
    await client().getHandle(`maintenance/t${number()}`).terminate("by a test");
    expect(await campaign.result()).toMatchObject({
      ended: [{ ending: "stranded", untouched: false, stranded: { message: expect.stringContaining("restoreOnly") } }],
    });
  });

  it("a target that nobody lets go of is told as such, and keeps no other from its work", async () => {
    const held = `t${number()}`;
    world.planOverrides = { action: null, image: null, ways: [] };
    const verify = world.site().verifyHome;
    world.override.verifyHome = async (input) => {
      if (input.plan.target.name === held) throw ApplicationFailure.nonRetryable("gone", "homeNotProved");
      return await verify(input);
    };
    world.onAwaitFree = async () => {
      throw ApplicationFailure.nonRetryable(`${held} is still busy.`, "refused");
    };
    const holder = await start();
    await reach("stranded");
    const campaign = await client().start("maintenanceCampaign", {
      workflowId: `campaign-${number()}`,
      taskQueue: "pitstop",
      args: [{ targets: [held, `c${number()}`], action: "check", onBusy: "wait", atOnce: 1 }],
    });
    const { ended } = (await campaign.result()) as { ended: SessionSummary[] };
    expect(ended).toMatchObject([
      { target: held, session: "", untouched: true, failure: { message: `${held} is still busy.` } },
      { target: `c${number()}`, ending: "restored", failure: null },
    ]);
    await holder.executeUpdate("releaseTarget", { args: [{ by: "test", reason: "end of the test" }] });
    await holder.result();
  });

  it("runs its targets, and ends when each is home or announced stranded", async () => {
    helloAtBoot();
    world.onBoot = (plan, epoch) =>
      client()
        .getHandle(plan.workflowId)
        .signal("hello", { session: plan.session, epoch, bootId: "b", at: new Date().toISOString() });
    const verify = world.site().verifyHome;
    world.override.verifyHome = async (input) => {
      if (!input.plan.target.name.endsWith("bad")) return await verify({ ...input });
      throw ApplicationFailure.nonRetryable("gone", "homeNotProved");
    };
    world.override.ensureOff = async () => ({
      off: true,
      tookMs: 1,
      powerActions: [],
      bmcRequests: { total: 0, powerPolls: 0 },
    });
    const campaign = await client().start("maintenanceCampaign", {
      workflowId: `campaign-${number()}`,
      taskQueue: "pitstop",
      args: [{ targets: [`c${number()}-a`, `c${number()}-bad`], action: "check" }],
    });
    for (const told of [[], [null], [{ target: `c${number()}-a`, session: "another", ending: "stranded" }]])
      await campaign.signal("announced", ...told);
    const summary = (await campaign.result()) as { ended: SessionSummary[] };
    expect(Object.fromEntries(summary.ended.map((s) => [s.target, s.ending]))).toEqual({
      [`c${number()}-a`]: "restored",
      [`c${number()}-bad`]: "stranded",
    });
    const handle = client().getHandle(`maintenance/c${number()}-bad`);
    await handle.executeUpdate("releaseTarget", { args: [{ by: "test", reason: "end of the test" }] });
    await handle.result();
  });
});
