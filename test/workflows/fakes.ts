import { ApplicationFailure } from "@temporalio/common";
import type { CentralActivities, Effects, SiteActivities } from "../../activities/contract.js";
import type { SessionRecord } from "../../src/domain/record.js";
import { CampaignRequest, type SessionPlan, type TaskResult } from "../../src/domain/session.js";
import type { BootSnapshot, BootState } from "../../src/domain/snapshot.js";
import { Target } from "../../src/domain/target.js";

const nothing: Effects = { powerActions: [], bmcRequests: { total: 0, powerPolls: 0 } };

export const bootState = (power: "On" | "Off"): BootState => ({
  readAt: new Date().toISOString(),
  control: "redfish",
  power,
  override: { enabled: "Disabled", target: null, mode: null, httpBootUri: null },
  bootOrder: [],
  media: [],
  secureBoot: false,
});

/** A whole world of activities in memory: what was called, and what the catalogue and the target are then like. */
export class FakeWorld {
  readonly calls: string[] = [];
  readonly records: Omit<SessionRecord, "findings">[] = [];
  /** What each proof of home was asked for. */
  readonly proofs: Pick<Parameters<SiteActivities["verifyHome"]>[0], "rebooted" | "watchLateOffMs">[] = [];
  /** Whether the catalogue says that it has kept a snapshot. */
  keepAnswers = true;
  readonly closings: { untouched: boolean }[] = [];
  readonly snapshots = new Map<string, BootSnapshot>();
  power: "On" | "Off" = "On";
  running: "home" | "image" | "nothing" = "home";
  where: "off" | "home" | "image" | "unknown" | null = null;
  planOverrides: Partial<SessionPlan> = {};
  planRefusal: Error | null = null;
  /** Replaces single activities. */
  override: Partial<SiteActivities> = {};
  onRecord: (record: Omit<SessionRecord, "findings">) => Promise<void> = async () => undefined;
  onAwaitFree: () => Promise<void> = async () => undefined;
  onBoot: (plan: SessionPlan, epoch: number) => Promise<void> = async () => undefined;

  plan(input: { target: string; session: string; workflowId: string }): SessionPlan {
    return {
      session: input.session,
      workflowId: input.workflowId,
      requestedBy: "test",
      target: Target.parse({
        kind: "Target",
        name: input.target,
        identity: { macs: ["52:54:00:00:00:01"] },
        control: [{ redfish: { url: "https://127.0.0.1:1", credentials: { env: "NOBODY" } } }],
        boot: { firmware: "bios", via: ["pxe"] },
        home: [{ http: { url: "http://127.0.0.1:1/" } }],
      }),
      action: {
        name: "check",
        mode: "active",
        report: null,
        destructive: false,
        onReboot: "restore",
        approval: false,
        interactive: false,
        tasks: [task("1-look")],
        params: {},
      },
      image: {
        kind: "Image",
        name: "test-image",
        labels: {},
        role: "maintenance",
        arch: "x86_64",
        form: "linux",
        kernel: { url: "file:images/k", sha256: "0".repeat(64) },
        initrds: [{ url: "file:images/i", sha256: "0".repeat(64) }],
        cmdline: [],
      },
      ways: [{ via: "pxe", grade: "lan" }],
      limits: {
        gracefulMs: 1000,
        bootMs: 2000,
        bootAttempts: 2,
        workMs: 20_000,
        leaseMs: 5000,
        homeMs: 2000,
        totalMs: 3_600_000,
      },
      adopted: null,
      ...this.planOverrides,
    };
  }

  central(): CentralActivities {
    return {
      planSession: async ({ request, session, workflowId }) => {
        if (this.planRefusal) throw this.planRefusal;
        return this.plan({ target: request.target, session, workflowId });
      },
      planCampaign: async ({ request }) => ({ ...CampaignRequest.parse(request), targets: request.targets ?? [] }),
      awaitFreeTarget: () => this.onAwaitFree(),
      keepSnapshot: async ({ snapshot }) => {
        const kept = this.snapshots.get(snapshot.target) ?? snapshot;
        this.snapshots.set(snapshot.target, kept);
        if (!this.keepAnswers) throw ApplicationFailure.nonRetryable("The answer was lost.", "refused");
        return kept;
      },
      recordSession: async ({ record }) => {
        this.records.push(record);
        await this.onRecord(record);
      },
      closeSnapshot: async ({ target, session }) => {
        if (this.snapshots.get(target)?.session === session) this.snapshots.delete(target);
      },
    };
  }

  site(): SiteActivities {
    const done = <T extends object>(name: string, result: T) => {
      this.calls.push(name);
      return { ...nothing, ...result };
    };
    const base: SiteActivities = {
      captureSnapshot: async ({ plan }) =>
        done("capture", {
          snapshot: {
            target: plan.target.name,
            session: plan.session,
            takenAt: new Date().toISOString(),
            identity: { serviceUuid: null, systemUuid: null, system: "1", manufacturer: null, model: null, macs: [] },
            state: bootState(this.power),
            home: [],
          },
          notes: [],
        }),
      stageImage: async () => done("stage", { fetchedBytes: 1 }),
      armTarget: async ({ epoch, way }) =>
        done(way.via === "pxe" ? `arm ${epoch}` : `arm ${epoch} by ${way.via}`, {
          wrote: true,
          grade: "lan" as const,
          notes: [],
        }),
      ensureOff: async ({ running }) => {
        this.power = "Off";
        this.running = "nothing";
        return done(`off ${running}`, { off: true, tookMs: 5 });
      },
      locateTarget: async () =>
        done("locate", {
          where: this.where ?? (this.power === "Off" ? "off" : this.running === "nothing" ? "unknown" : this.running),
        }),
      ensureOn: async ({ plan, epoch }) => {
        this.power = "On";
        this.running = epoch === null ? "home" : "image";
        if (epoch !== null) void this.onBoot(plan, epoch);
        return {
          ...done(`on ${epoch ?? "home"}`, {}),
          powerActions: [{ at: new Date().toISOString(), what: "On", why: "test", result: "done" as const }],
        };
      },
      awaitControl: async () => done("await", { attempts: 1 }),
      diagnoseBoot: async ({ way: { via } }) =>
        done("diagnose", {
          diagnosis: {
            via,
            power: this.power,
            scriptFetched: false,
            kernelFetched: false,
            initrdFetched: false,
            homeAnswering: false,
            bootProgress: null,
            summary: "it never asked for its boot script.",
          },
        }),
      offerTask: async ({ task: offered }) => {
        this.calls.push(`task ${offered.id}`);
        return result(offered.id);
      },
      restoreBoot: async () => done("restore", { notes: [] }),
      verifyHome: async ({ snapshot, rebooted, watchLateOffMs }) => {
        this.proofs.push({ rebooted, watchLateOffMs });
        return done("verify", {
          verdict: {
            proved: this.power === snapshot.state.power,
            strength: "strong" as const,
            checks: [],
            after: bootState(this.power),
            differences: [],
            added: [],
            reason: this.power === snapshot.state.power ? null : "the power is not as it was",
          },
          waitedMs: 1,
          provedAt: new Date().toISOString(),
        });
      },
      closeSite: async ({ untouched }) => {
        this.closings.push({ untouched });
        return done("close", {});
      },
    };
    return { ...base, ...this.override };
  }
}

export const task = (id: string) => ({
  id,
  name: id.replace(/^\d+-/, ""),
  scriptSha256: "0".repeat(64),
  timeoutMs: 10_000,
  destructive: false,
  devices: [],
});

export const result = (id: string, status: TaskResult["status"] = "succeeded"): TaskResult => ({
  id,
  name: id.replace(/^\d+-/, ""),
  status,
  exitCode: status === "succeeded" ? 0 : 1,
  durationMs: 3,
  reason: null,
  findingSha256: null,
  logSha256: null,
});
