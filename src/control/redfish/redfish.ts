import { usableUuid } from "../../domain/machine-identity.js";
import { ABSENT, isKnown, type Reading, unreadable } from "../../domain/reading.js";
import type { BootOrderEntry, BootOverride, MediaSlot, PowerState } from "../../domain/snapshot.js";
import { readingFrom } from "../boot-state.js";
import type {
  BootOrder,
  Capabilities,
  Comparison,
  ControlIdentity,
  ControlUsage,
  Media,
  NextBoot,
  Power,
  Section,
  TargetControl,
} from "../control.js";
import { arm, refuseMediaBoot } from "./arm.js";
import { macsOf, proveIdentity, refuseOtherThan } from "./identity.js";
import type { Machine } from "./machine.js";
import { MediaDrives } from "./media.js";
import { bootsFromNetwork, compareBootOrders, hasBootOrder, readBootOrder, restoreBootOrder } from "./order.js";
import { compareOverrides, hasOverride, judged, readOverride } from "./override-state.js";
import { Resets } from "./reset.js";
import { restoreOverride } from "./restore-override.js";
import { compareMedia, pendingMedia } from "./slots.js";

/** Control of one target by Redfish (DSP0266, DSP0268). */
export class RedfishControl implements TargetControl {
  private readonly drives: MediaDrives;
  private readonly resets: Resets;
  private identity: ControlIdentity | null = null;

  constructor(private readonly machine: Machine) {
    this.drives = new MediaDrives(machine);
    this.resets = new Resets(machine);
  }

  async prove(kept: ControlIdentity | null = null): Promise<Capabilities> {
    if (this.identity === null) this.identity = await this.firstProof(kept);
    else this.machine.begin();
    return await this.capabilities(this.identity);
  }

  usage(): ControlUsage {
    const { client, powerPolls } = this.machine;
    return { total: client.transport.sent, powerPolls, writes: client.writes };
  }

  async close(): Promise<void> {
    await this.machine.client.close();
  }

  /** The service root first, without credentials; then the login; then the system and its UUID. */
  private async firstProof(kept: ControlIdentity | null): Promise<ControlIdentity> {
    const { machine } = this;
    const root = await machine.client.root();
    const { system } = await machine.look();
    const systemUuid = usableUuid(system.UUID);
    const id = await machine.id();
    const seen = { at: machine.at, system: id, uuid: systemUuid };
    const proved = await proveIdentity(machine.target, seen, () => macsOf(machine, system));
    if (kept !== null) refuseOtherThan(kept, proved, machine.at);
    machine.proved(proved);
    return {
      serviceUuid: usableUuid(root.UUID),
      systemUuid,
      system: id,
      manufacturer: system.Manufacturer,
      model: system.Model,
      macs: proved.macs,
    };
  }

  private async capabilities(identity: ControlIdentity): Promise<Capabilities> {
    const { machine } = this;
    const look = await machine.lastLook();
    const root = await machine.client.root();
    const { VirtualMedia: media, SecureBoot: secureBoot, Links } = look.system;
    const mayHaveMedia = media !== null || (Links.ManagedBy ?? []).length > 0 || root.Managers !== null;
    // What a garbled section would have is not known: its control reads it, and says that it cannot.
    const isGarbled = !isKnown(readOverride(look)) && !("absent" in readOverride(look));
    return {
      identity,
      kind: "redfish",
      power: powerBy(machine, this.resets),
      nextBoot: isGarbled || hasOverride(look) ? nextBootBy(machine, this.drives) : null,
      bootOrder: isGarbled || hasBootOrder(look) ? bootOrderBy(machine) : null,
      media: mayHaveMedia ? mediaBy(machine, this.drives) : null,
      secureBoot: secureBoot === null ? null : secureBootBy(machine, secureBoot),
      console: null,
    };
  }
}

const powerBy = (machine: Machine, resets: Resets): Power => ({
  async read() {
    return await machine.power();
  },
  compare: (before: PowerState, after: PowerState) => differing("power", before, after),
  pending: () => null,
  reset: async (kind) => await resets.ask(kind),
  async progress() {
    const { system } = await machine.look();
    return system.BootProgress.LastState ?? ABSENT;
  },
});

const nextBootBy = (machine: Machine, drives: MediaDrives): NextBoot => ({
  read: async () => readOverride(await machine.look()),
  compare: compareOverrides,
  pending: (value: BootOverride) => (judged(value).enabled === "Once" ? value.target : null),
  arm: async (choice) => await arm(machine, choice, () => drives.hasDrive()),
  restore: async (to: BootOverride, unsure = false) => await restoreOverride(machine, to, unsure),
});

const bootOrderBy = (machine: Machine): BootOrder => ({
  read: async () => await readingFrom(async () => await readBootOrder(machine, await machine.look())),
  compare: compareBootOrders,
  pending: () => null,
  restore: async (to: BootOrderEntry[]) => await restoreBootOrder(machine, to),
  async asksNetworkFirst() {
    const order = await readingFrom(async () => await readBootOrder(machine, await machine.look()));
    if (!isKnown(order)) return order;
    return order[0] !== undefined && bootsFromNetwork(order[0]);
  },
});

const mediaBy = (machine: Machine, drives: MediaDrives): Media => ({
  read: async () => await readingFrom(async () => await drives.read()),
  compare: compareMedia,
  pending: (slots: MediaSlot[]) => pendingMedia(slots),
  async insert(url, { verify } = { verify: false }) {
    await refuseMediaBoot(machine, () => drives.hasDrive());
    return await drives.insert(url, verify);
  },
  restore: async (to) => await drives.restore(to),
});

const secureBootBy = (machine: Machine, link: string): Section<boolean> => ({
  read: async () => await readingFrom(async () => await readSecureBoot(machine, link)),
  compare: (before, after) => differing("secureBoot", before, after),
  pending: () => null,
});

/** What the next boot will enforce (DSP0268 SecureBoot): the setting, else what this boot enforced. */
async function readSecureBoot(machine: Machine, link: string): Promise<Reading<boolean>> {
  const answer = await machine.client.get(link, [404]);
  if (answer === null) return ABSENT;
  const { SecureBootEnable: enable = null, SecureBootCurrentBoot: current = null } = answer.body;
  if (typeof enable === "boolean") return enable;
  if (enable !== null) return unreadable("SecureBootEnable is neither true nor false");
  if (current === null) return ABSENT;
  if (current === "Enabled" || current === "Disabled") return current === "Enabled";
  return unreadable("SecureBootCurrentBoot is neither Enabled nor Disabled");
}

const differing = (field: string, before: unknown, after: unknown): Comparison => ({
  differences: before === after ? [] : [{ field, before, after }],
  added: [],
});
