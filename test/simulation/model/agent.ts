import type { ImageMode } from "./adversary.js";
import { after, cancel, elapsed } from "./clock.js";
import type { Boot, Machine } from "./machine.js";
import type { Asked } from "./shims/listener.js";
import { setTimeout as pause } from "./shims/timers.js";

const LAST_RETRY_MS = 8_000;

interface Order {
  do?: string;
  task?: { id: string; timeoutSeconds: number };
  power?: string;
  cancel?: string;
  leaseSeconds?: number;
}

/** The image's agent and its dead-man, as docs/agent-protocol.md says, in the mode that the adversary gave this boot. */
export async function agent(machine: Machine, boot: Boot, mode: ImageMode): Promise<void> {
  const one = new Agent(machine, boot);
  one.guard();
  if (mode === "reboots") {
    after(machine.world.random.between(2_000, 90_000), () => {
      machine.world.promises.leftByItself(machine);
      machine.reboot("by itself, in the image");
    });
  }
  if (mode === "dies") {
    after(machine.world.random.between(2_000, 90_000), () => {
      machine.world.promises.leftByItself(machine);
      machine.powerOff("a fuse");
    });
  }
  if (mode === "silent") return;
  if (mode === "late") await pause(machine.world.random.between(60_000, 170_000));
  if (mode === "babbles") void one.babble();
  await one.work(mode);
}

class Agent {
  private leaseEnd: number;
  private guardTimer: ReturnType<typeof after> | null = null;
  private token = "";
  private readonly done = new Map<string, object>();

  constructor(
    private readonly machine: Machine,
    private readonly boot: Boot,
  ) {
    this.leaseEnd = elapsed() + boot.leaseMs;
  }

  guard(): void {
    cancel(this.guardTimer);
    const end = Math.min(this.leaseEnd, this.boot.deadlineMs);
    this.guardTimer = after(end - elapsed(), () => this.goHome("dead-man: no lease any more"));
  }

  async work(mode: ImageMode): Promise<void> {
    const hello = await this.untilAnswered(() => this.hello(this.boot.bootId));
    if (hello?.status !== 200) return this.goHome(`its hello was answered ${hello?.status ?? "by nobody"}`);
    const { token, tasks } = hello.body as { token: string; tasks: { id: string; timeoutSeconds: number }[] };
    this.token = token;
    this.machine.world.promises.tokenGiven(this.machine, token);
    this.extend(hello.body);
    if (mode === "twice") await this.hello(this.boot.bootId).catch(() => null);
    if (mode === "forged") void this.forge();
    let order: Order = {};
    if (tasks.length > 0) {
      for (const task of tasks) await this.run(task);
      order = await this.send("POST", "/agent/v1/done", { outcome: "succeeded" });
    }
    for (;;) {
      if (order.do === "finish") return this.obey(order.power ?? "reboot");
      if (order.do === "task" && order.task) order = await this.run(order.task);
      else order = await this.send("GET", "/agent/v1/next?wait=25");
    }
  }

  /** Bytes of nobody in particular: wrong tokens, unknown tasks, results twice. */
  async babble(): Promise<void> {
    for (let i = 0; i < 30; i++) {
      const url = this.machine.world.random.pick([
        "/agent/v1/tasks/9-none/result",
        "/agent/v1/hello",
        "/agent/v1/done",
      ]);
      const asked = { method: "POST", url, body: { status: "succeeded", nonce: "x".repeat(30) } };
      await this.request({ ...asked, headers: { authorization: "Bearer p1~nobody~x~1~y~z" } }, 20_000).catch(
        () => null,
      );
      await pause(this.machine.world.random.between(200, 3_000));
    }
  }

  /** Somebody on the same network read the nonce and says hello with a boot id of its own. */
  private async forge(): Promise<void> {
    await pause(this.machine.world.random.between(500, 10_000));
    this.machine.world.promises.forgedHello(this.machine);
    const answer = await this.hello(this.machine.world.random.uuid()).catch(() => null);
    this.machine.world.promises.forgedAnswered(this.machine, answer?.status ?? 0);
  }

  private hello(bootId: string) {
    const body = { protocol: "1", nonce: this.boot.nonce, bootId, uuid: this.machine.uuid, macs: [this.machine.mac] };
    return this.request({ method: "POST", url: "/agent/v1/hello", body }, 30_000);
  }

  private async run(task: { id: string; timeoutSeconds: number }): Promise<Order> {
    const { random } = this.machine.world;
    if (!this.done.has(task.id)) {
      const ms = random.between(1_000, 60_000);
      for (let left = ms; left > 0; left -= 10_000) {
        await pause(Math.min(left, 10_000));
        const url = `/agent/v1/tasks/${task.id}/progress`;
        const answer = await this.authorized("POST", url, { percent: 50 }, 20_000).catch(() => null);
        if (answer?.status === 410) this.goHome("its session is over");
        if ((answer?.body as { cancel?: boolean } | null)?.cancel) {
          const stopped = { status: "cancelled", exitCode: null, durationMs: 1 };
          return await this.send("POST", `/agent/v1/tasks/${task.id}/result?wait=25`, stopped);
        }
      }
      const failed = random.chance(0.1);
      const result = { status: failed ? "failed" : "succeeded", exitCode: failed ? 1 : 0, durationMs: Math.floor(ms) };
      // Scripts run as root in the image: they can read the agent's settings, and print them.
      this.done.set(task.id, { ...result, finding: { ok: true, settings: `Bearer ${this.token}` } });
    }
    return await this.send("POST", `/agent/v1/tasks/${task.id}/result?wait=25`, this.done.get(task.id));
  }

  /** Asks until somebody answers; 410 and 403 mean home, 401 is asked again while the lease holds. */
  private async send(method: string, url: string, body?: unknown): Promise<Order> {
    const answer = await this.untilAnswered(() => this.authorized(method, url, body, 45_000));
    if (answer?.status === 410 || answer?.status === 403) this.goHome("its session is over");
    return answer?.status === 200 ? (answer.body as Order) : {};
  }

  private async authorized(method: string, url: string, body: unknown, limitMs: number) {
    const headers = { authorization: `Bearer ${this.token}` };
    const { promises } = this.machine.world;
    const armedAs = promises.arming(this.machine);
    const answer = await this.request({ method, url, body, headers }, limitMs);
    if (answer.status === 200) promises.tokenTaken(this.machine, this.token, this.boot, armedAs);
    if (answer.status === 200) this.extend(answer.body);
    return answer;
  }

  private async untilAnswered(ask: () => Promise<{ status: number; body: unknown }>) {
    for (let ms = 1_000; ; ms = Math.min(ms * 2, LAST_RETRY_MS)) {
      const answer = await ask().catch(() => null);
      if (answer && ![401, 429, 500, 503].includes(answer.status)) return answer;
      await pause(ms);
    }
  }

  private request(asked: Asked, limitMs: number) {
    return this.machine.world.network.fromTarget(this.machine, "tls", asked, limitMs);
  }

  private extend(body: unknown): void {
    const seconds = (body as { leaseSeconds?: unknown } | null)?.leaseSeconds;
    if (typeof seconds !== "number") return;
    this.machine.world.promises.leaseGiven(this.machine, seconds * 1000);
    this.leaseEnd = elapsed() + seconds * 1000;
    this.guard();
  }

  private obey(power: string): void {
    if (power === "stay") return;
    if (power === "off") this.machine.powerOff("its agent was told to");
    else this.machine.reboot("its agent was told to");
  }

  private goHome(why: string): void {
    if (this.boot.wasOff) this.machine.powerOff(why);
    else this.machine.reboot(why);
  }
}
