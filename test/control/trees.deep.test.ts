import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { afterEach, expect, test } from "vitest";
import {
  captureBootState,
  compareBootStates,
  pendingIn,
  powerOf,
  restoreBootState,
} from "../../src/control/boot-state.js";
import type { BootChoice, Capabilities } from "../../src/control/control.js";
import { ensureOff, ensureOn, type OffHow } from "../../src/control/ensure.js";
import { armedOn } from "../../src/control/transitions.js";
import { usableMac, usableUuid } from "../../src/domain/machine-identity.js";
import { ABSENT } from "../../src/domain/reading.js";
import type { BootVia, Target } from "../../src/domain/target.js";
import { armNextBoot } from "../../src/ways/network-first.js";
import type { Json } from "./fake-bmc.js";
import { controlOf, failure, targetOf } from "./help.js";
import { linkIn, StrictService, type Tree } from "./strict-service.js";

/**
 * Real machines, as public mockups show them, behind {@link StrictService}: each boot path is armed and restored, or refused
 * before any change. PITSTOP_REDFISH_TREES names their folder: a JSON file a machine, from path to resource. What fails here
 * becomes a small machine in `strict.test.ts`.
 */
const FOLDER = process.env.PITSTOP_REDFISH_TREES ?? resolve("../shared/trees");
const FILES = existsSync(FOLDER) ? readdirSync(FOLDER).filter((name) => name.endsWith(".json")) : [];
const ISO = "https://site:8482/media/abcdefgh/image.iso";
const URI = "https://site:8482/boot/abcdefgh/ipxe.efi";
/** Firmware takes no time here, so neither does the clock of the control. */
const NO_WAIT = { why: "the walk", sleep: async () => undefined };
const SHUTDOWN: OffHow = { mode: "graceful", gracefulMs: 1_000, then: "force" };

const CHOICES: Record<BootVia, BootChoice> = {
  pxe: { via: "pxe" },
  "uefi-http": { via: "uefi-http", uri: URI },
  "virtual-media": { via: "virtual-media" },
};
const VIAS = Object.keys(CHOICES) as BootVia[];

/** What a tree shows of the one system that can be reset. */
class Machine {
  readonly path: string;
  readonly system: Json;

  constructor(
    readonly name: string,
    readonly tree: Tree,
  ) {
    const found = Object.entries(tree).find(([, one]) => objectIn(one.Actions)["#ComputerSystem.Reset"] !== undefined);
    if (found === undefined) throw new Error(`${name} has no system that can be reset`);
    [this.path, this.system] = found;
  }

  get boot(): Json {
    return objectIn(this.system.Boot);
  }

  get settings(): Json | null {
    const link = linkIn(objectIn(this.system["@Redfish.Settings"]).SettingsObject);
    return link === null ? null : (this.tree[link] ?? null);
  }

  get uuid(): string | null {
    return usableUuid(this.system.UUID as string | undefined);
  }

  get mac(): string | null {
    const nics = this.members(this.system.EthernetInterfaces);
    return (
      nics.map((nic) => usableMac((nic.PermanentMACAddress || nic.MACAddress) as string)).find((mac) => mac !== null) ??
      null
    );
  }

  get firmware(): "uefi" | "bios" {
    return this.boot.BootSourceOverrideMode === "Legacy" ? "bios" : "uefi";
  }

  members(collection: unknown): Json[] {
    const listed = this.tree[linkIn(collection) ?? ""]?.Members;
    return (Array.isArray(listed) ? listed : []).map((member) => this.tree[linkIn(member) ?? ""] ?? {});
  }

  /** The slots of the system, else of its manager; null where there is no collection at all. */
  get slots(): Json[] | null {
    const managers = (objectIn(this.system.Links).ManagedBy ?? []) as Json[];
    const places = [this.system, ...managers.map((one) => this.tree[linkIn(one) ?? ""] ?? {})].map(
      (one) => one.VirtualMedia,
    );
    const named = places.filter((one) => this.tree[linkIn(one) ?? ""] !== undefined);
    return named.length === 0 ? null : (named.map((one) => this.members(one)).find((slots) => slots.length > 0) ?? []);
  }

  /** The list of a boot property, wherever the machine shows it. */
  listOf(name: string): string[] | null {
    const list = `${name}@Redfish.AllowableValues`;
    return (this.boot[list] ?? objectIn(this.settings?.Boot)[list] ?? null) as string[] | null;
  }

  /** Why a way cannot be armed, as a piece of the sentence; null where it can. */
  obstacle(via: BootVia): RegExp | null {
    const targets = this.listOf("BootSourceOverrideTarget");
    if (via === "virtual-media" && !(this.slots ?? []).some(takesCd))
      return /no virtual (CD or DVD|media)|no boot override/;
    if (targets === null) return /no boot override/;
    if (via === "pxe") return targets.includes("Pxe") ? null : /cannot boot pxe/;
    if (via === "virtual-media") return targets.includes("Cd") ? null : /cannot boot virtual-media/;
    if (!targets.includes("UefiHttp"))
      return /cannot boot uefi-http by override \(it offers .*\); give .* in boot\.via/;
    return "HttpBootUri" in { ...this.boot, ...objectIn(this.settings?.Boot) }
      ? null
      : /offers UefiHttp but has no HttpBootUri/;
  }

  /** The boot state in the form of a snapshot. */
  get state(): object {
    const {
      BootSourceOverrideEnabled: enabled,
      BootSourceOverrideTarget: target,
      BootSourceOverrideMode: mode,
    } = this.boot;
    const options = this.members(this.boot.BootOptions);
    const order = (this.boot.BootOrder as string[] | undefined)?.map((reference) => {
      const option = options.find((one) => (one.BootOptionReference ?? one.Id) === reference) ?? {};
      return { reference, name: option.DisplayName ?? option.Name ?? null, devicePath: option.UefiDevicePath ?? null };
    });
    const slots = this.slots?.map((slot) => ({
      slot: slot["@odata.id"],
      inserted: slot.Inserted,
      image: slot.Inserted === true ? slot.Image : null,
      verifyCertificate: slot.VerifyCertificate ?? null,
    }));
    const secureBoot = this.tree[linkIn(this.system.SecureBoot) ?? ""]?.SecureBootEnable;
    return {
      control: "redfish",
      power: this.system.PowerState,
      override:
        enabled === undefined
          ? ABSENT
          : { enabled, target, mode: mode ?? null, httpBootUri: this.boot.HttpBootUri ?? null },
      bootOrder: order ?? ABSENT,
      media: slots ?? ABSENT,
      secureBoot: secureBoot ?? ABSENT,
    };
  }
}

const objectIn = (value: unknown): Json => (typeof value === "object" && value !== null ? (value as Json) : {});

const takesCd = ({ MediaTypes: types }: Json): boolean =>
  !Array.isArray(types) || types.some((one) => one === "CD" || one === "DVD");

const running: StrictService[] = [];
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop();
});

async function serve(tree: Tree): Promise<StrictService> {
  const service = await StrictService.start(tree);
  running.push(service);
  return service;
}

function documentOf(machine: Machine, service: StrictService, identity: object, boot: object = {}): Target {
  const tls = { fingerprint256: service.fingerprint };
  const system = basename(machine.path);
  return targetOf(service.url, tls, {
    name: machine.name.slice(0, 20),
    identity,
    control: [{ redfish: { url: service.url, system, credentials: { env: "BMC" }, tls } }],
    boot: { firmware: machine.firmware, via: ["pxe"], ...boot },
  });
}

/** By whatever proves this machine. */
const identityOf = (machine: Machine) => (machine.uuid === null ? { macs: [machine.mac] } : { uuid: machine.uuid });

async function identityCell(machine: Machine): Promise<string> {
  const told: string[] = [];
  const service = await serve(machine.tree);
  const uuid = machine.uuid ?? "0b0c0d0e-0102-4304-8506-0708090a0b0c";
  const byUuid = await controlOf(documentOf(machine, service, { uuid }));
  if (machine.uuid === null) {
    expect((await failure(byUuid.identify())).message).toMatch(
      /shows no UUID .* give .* a MAC address in identity\.macs\.$/,
    );
    told.push("tree shows no UUID");
  } else {
    expect((await byUuid.identify()).systemUuid).toBe(machine.uuid);
    const other = await controlOf(documentOf(machine, service, { uuid: "0b0c0d0e-0102-4304-8506-0708090a0b0c" }));
    expect((await failure(other.identify())).message).toContain(`is ${machine.uuid}`);
    told.push("UUID");
  }
  const byMac = await controlOf(documentOf(machine, service, { macs: [machine.mac ?? "52:54:00:12:34:56"] }));
  if (machine.mac === null) {
    expect((await failure(byMac.identify())).message).toContain("has no MAC address that it tells");
    told.push("tree shows no MAC address");
  } else {
    expect((await byMac.identify()).macs).toEqual([machine.mac]);
    told.push("MAC");
  }
  expect(service.writes).toBe(0);
  return told.join(", ");
}

async function snapshotCell(machine: Machine): Promise<string> {
  const service = await serve(machine.tree);
  const hands = await controlOf(documentOf(machine, service, identityOf(machine)));
  const { readAt: _readAt, ...state } = await hands.readState();
  expect(state).toEqual(machine.state);
  return "equal";
}

interface Walked {
  cell: string;
  requests: number;
  notes: string[];
}

/** As a session does: the snapshot, the arming, off, armed again and on, off, restored and on. */
async function walk(machine: Machine, via: BootVia, allow: string[] = []): Promise<Walked> {
  const service = await serve(machine.tree);
  const firmware = via === "uefi-http" ? { firmware: "uefi" } : {};
  const target = documentOf(machine, service, identityOf(machine), { ...firmware, allow });
  const hands = await controlOf(target);
  const can = await hands.can();
  const before = await captureBootState(can);
  const pending = pendingIn(can, before, "override") ?? pendingIn(can, before, "media");
  if (pending !== null) return { cell: `refused: ${pending} pending`, requests: service.requests, notes: [] };
  const arm = async () => {
    if (via === "virtual-media") await hands.insertMedia(ISO);
    return await armNextBoot(can, target, CHOICES[via]);
  };
  const isOrdered = machine.listOf("BootSourceOverrideTarget") === null && allow.length > 0 && via === "pxe";
  const obstacle = isOrdered ? null : machine.obstacle(via);
  if (obstacle !== null) {
    const error = await failure(arm());
    expect(error.code).toBe("refused");
    expect(error.message).toMatch(obstacle);
    expect(error.message).toMatch(/^[^\n]+\.$/);
    expect(service.writes, error.message).toBe(0);
    await hands.close();
    expect(service.sessions.size).toBe(0);
    return { cell: "refused", requests: service.requests, notes: [error.message] };
  }
  const { override, notes } = await arm();
  expect(service.boots).toEqual([]);
  await ensureOff(powerOf(can), SHUTDOWN, NO_WAIT);
  await armedOn(can, arm, NO_WAIT);
  const wanted = isOrdered ? null : { enabled: "Once", target: override.target, uri: via === "uefi-http" ? URI : null };
  expect(service.boots).toEqual([wanted]);
  service.reorderBoot();
  await ensureOff(powerOf(can), { mode: "force" }, NO_WAIT);
  notes.push(...(await restoreBootState(can, before, false)));
  await ensureOn(powerOf(can), NO_WAIT);
  notes.push(...(await restored(machine, service, can, before)));
  await hands.close();
  expect(service.sessions.size).toBe(0);
  return { cell: isOrdered ? "by boot order" : `armed (${override.target})`, requests: service.requests, notes };
}

/** Nothing is left: by the control's own comparison, and property by property. Gives what differs and means nothing. */
async function restored(
  machine: Machine,
  service: StrictService,
  can: Capabilities,
  before: Awaited<ReturnType<typeof captureBootState>>,
): Promise<string[]> {
  const after = await captureBootState(can);
  expect(compareBootStates(can, before, after).differences).toEqual([]);
  const left: string[] = [];
  for (const [path, was] of Object.entries(machine.tree)) {
    const is = service.tree[path] ?? {};
    const differing = differences(was, is);
    for (const [name, old, now] of differing) {
      const boot = objectIn(was.Boot);
      const isDisabled =
        boot.BootSourceOverrideEnabled === "Disabled" && objectIn(is.Boot).BootSourceOverrideEnabled === "Disabled";
      const meansNothing =
        isDisabled &&
        (name === "Boot.BootSourceOverrideTarget" || (name === "Boot.BootSourceOverrideMode" && old === null));
      expect(meansNothing, `${path} ${name}: ${JSON.stringify(old)} -> ${JSON.stringify(now)}`).toBe(true);
      left.push(`${name.slice(5)} of the disabled override reads ${now}, was ${old}`);
    }
  }
  return left;
}

function differences(was: Json, is: Json, at = ""): [string, unknown, unknown][] {
  return [...new Set([...Object.keys(was), ...Object.keys(is)])].flatMap((name): [string, unknown, unknown][] => {
    if (name === "@odata.etag" || JSON.stringify(was[name]) === JSON.stringify(is[name])) return [];
    if (name === "Boot" && is.Boot !== undefined) return differences(objectIn(was.Boot), objectIn(is.Boot), "Boot.");
    return [[at + name, was[name], is[name]]];
  });
}

/** The owner clears what is pending, as the refusal asks. */
function cleared(machine: Machine): Machine {
  const tree = structuredClone(machine.tree);
  for (const slot of Object.values(tree).filter((one) => /^#VirtualMedia\.v/.test(String(one["@odata.type"])))) {
    Object.assign(slot, { Image: null, Inserted: false, ConnectedVia: "NotConnected" });
  }
  const boot = objectIn(tree[machine.path]?.Boot);
  Object.assign(boot, { BootSourceOverrideEnabled: "Disabled", BootSourceOverrideTarget: "None" });
  return new Machine(`${machine.name}-cleared`, tree);
}

async function powerCell(machine: Machine): Promise<string> {
  const service = await serve(machine.tree);
  const can = await (await controlOf(documentOf(machine, service, identityOf(machine)))).can();
  const off = await ensureOff(powerOf(can), SHUTDOWN, NO_WAIT);
  expect(service.tree[machine.path]?.PowerState).toBe("Off");
  await ensureOn(powerOf(can), NO_WAIT);
  expect(service.tree[machine.path]?.PowerState).toBe("On");
  return off.actions.some(({ what }) => what === "ForceOff") ? "off (forced), on" : "off, on";
}

const rows: string[][] = [];
const told: string[] = [];

async function row(machine: Machine): Promise<void> {
  const cells = [machine.name, await identityCell(machine), await snapshotCell(machine)];
  let requests = 0;
  const left: string[] = [];
  for (const via of VIAS) {
    const walked = await walk(machine, via);
    cells.push(walked.cell);
    requests = Math.max(requests, walked.requests);
    left.push(...walked.notes.map((note) => `${machine.name}, ${via}: ${note}`));
  }
  if (machine.listOf("BootSourceOverrideTarget") === null) {
    const walked = await walk(machine, "pxe", ["network-first-order"]);
    cells[3] += `; ${walked.cell} where allowed`;
    left.push(...walked.notes.map((note) => `${machine.name}, pxe: ${note}`));
  }
  const isPending = cells[3]?.endsWith("pending") === true;
  rows.push([...cells, await powerCell(machine), isPending ? "untouched" : "as before", String(requests)]);
  told.push(...new Set(left));
  if (isPending) await row(cleared(machine));
}

if (FILES.length === 0) {
  test("real machines are walked", (context) => {
    context.skip(
      `PITSTOP_REDFISH_TREES names no folder with Redfish trees (${FOLDER}), and none lies beside the clone`,
    );
  });
} else {
  test.each(FILES)("%s is proved, read, armed or refused untouched, and restored", async (file) => {
    const tree = JSON.parse(readFileSync(join(FOLDER, file), "utf8")) as Tree;
    await row(new Machine(basename(file, ".json"), tree));
  });

  test("the table", () => {
    const head = ["machine", "identity", "snapshot", ...VIAS, "power", "restored", "requests"];
    const all = [head, ...rows];
    const widths = head.map((_, column) => Math.max(...all.map((one) => one[column]?.length ?? 0)));
    const lines = all.map((one) => one.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  "));
    console.log([...lines.map((line) => line.trimEnd()), "", ...told].join("\n"));
  });
}
