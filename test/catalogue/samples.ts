import { Action } from "../../src/domain/action.js";
import { Image } from "../../src/domain/image.js";
import type { SessionRecord } from "../../src/domain/record.js";
import type { BootSnapshot } from "../../src/domain/snapshot.js";
import { Target } from "../../src/domain/target.js";

const hex = (n: number, digits: number) => n.toString(16).padStart(digits, "0");

/** Machine number `n`: another one for each number. */
export function target(name: string, n: number, more: Record<string, unknown> = {}): Target {
  return Target.parse({
    kind: "Target",
    name,
    labels: { rack: "r1" },
    identity: { uuid: `4c4c4544-0042-4a10-8052-${hex(n, 12)}`, macs: [`52:54:00:12:34:${hex(n, 2)}`] },
    control: [{ redfish: { url: `https://bmc-${n}`, system: "1", credentials: { env: "BMC" } } }],
    boot: { firmware: "uefi", via: ["pxe"] },
    home: [{ http: { url: `http://${name}/health` } }],
    ...more,
  });
}

export const image = (name: string): Image =>
  Image.parse({
    kind: "Image",
    name,
    role: "maintenance",
    arch: "x86_64",
    kernel: { url: "file:images/base/vmlinuz", sha256: "a".repeat(64) },
    initrds: [{ url: "file:images/base/initrd", sha256: "b".repeat(64) }],
  });

export const action = (name: string, imageName?: string): Action =>
  Action.parse({
    kind: "Action",
    name,
    mode: "active",
    params: { depth: { default: "1" }, expr: { default: "" } },
    ...(imageName ? { image: imageName, tasks: [{ name: "look", script: "echo '{}'" }] } : {}),
  });

const state = {
  readAt: "2026-01-01T00:00:00.000Z",
  control: "redfish",
  power: "On" as const,
  override: { enabled: "Disabled" as const, target: null, mode: null, httpBootUri: null },
  bootOrder: [],
  media: [],
  secureBoot: false,
};

export const snapshot = (targetName: string, session: string): BootSnapshot => ({
  target: targetName,
  session,
  takenAt: "2026-01-01T00:00:00.000Z",
  identity: { serviceUuid: null, systemUuid: null, system: "1", manufacturer: null, model: null, macs: [] },
  state,
  home: [],
});

export const record = (session: string, targetName: string, more: Partial<SessionRecord> = {}): SessionRecord => ({
  session,
  workflowId: `maintenance/${targetName}`,
  target: targetName,
  action: "inventory",
  image: "pitstop-base",
  site: "default",
  campaign: null,
  requestedBy: "tester",
  startedAt: "2026-01-01T00:00:00.000Z",
  endedAt: null,
  phase: "working",
  outcome: null,
  ending: null,
  untouched: false,
  failure: null,
  stranded: null,
  waitingFor: null,
  released: null,
  phases: [{ name: "working", startedAt: "2026-01-01T00:00:00.000Z", endedAt: null }],
  restore: { before: state, after: null, differences: [], added: [] },
  home: { proved: false, strength: "none", before: [], checks: [], reason: null },
  tasks: [],
  findings: null,
  contacts: [],
  diagnoses: [],
  powerActions: [],
  notes: [],
  bmcRequests: { total: 0, powerPolls: 0 },
  overheadMs: null,
  ...more,
});
