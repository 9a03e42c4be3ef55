import type { BootOrderEntry, BootOverride, BootState, MediaSlot, PowerState } from "../../domain/snapshot.js";
import type { BootChoice, ControlIdentity, ControlUsage, ResetKind, TargetControl } from "../control.js";
import { normalMac, proveIdentity, usableUuid } from "./identity.js";
import { type Machine, overrideOf, powerOf } from "./machine.js";
import { MediaDrives } from "./media.js";
import { readBootOrder, restoreBootOrder } from "./order.js";
import { arm, ensureOverride } from "./override.js";
import { Resets } from "./reset.js";
import { EthernetInterface, SecureBoot, type System } from "./resources.js";

/** Control of one target by Redfish (DSP0266, DSP0268). Nothing is asked or written before the identity is proved. */
export class RedfishControl implements TargetControl {
  private readonly media: MediaDrives;
  private readonly resets: Resets;
  private identity: Promise<ControlIdentity> | null = null;

  constructor(private readonly machine: Machine) {
    this.media = new MediaDrives(machine);
    this.resets = new Resets(machine);
  }

  identify(): Promise<ControlIdentity> {
    if (this.identity !== null) return this.identity;
    const proving = this.prove();
    this.identity = proving;
    // A failed proof is no proof: the next call asks again.
    proving.catch(() => {
      this.identity = null;
    });
    return proving;
  }

  async readState(): Promise<BootState> {
    await this.identify();
    const look = await this.machine.look();
    const readAt = new Date().toISOString();
    const [bootOrder, media, secureBoot] = await Promise.all([
      readBootOrder(this.machine, look),
      this.media.read(),
      this.secureBoot(look.system),
    ]);
    return { readAt, power: powerOf(look.system), override: overrideOf(look), bootOrder, media, secureBoot };
  }

  async power(): Promise<PowerState> {
    await this.identify();
    return await this.machine.power();
  }

  async reset(kind: ResetKind): Promise<void> {
    await this.identify();
    await this.resets.ask(kind);
  }

  async arm(choice: BootChoice): Promise<BootOverride> {
    await this.identify();
    return await arm(this.machine, choice);
  }

  async restoreOverride(to: BootOverride, unsure = false): Promise<BootOverride> {
    await this.identify();
    return await ensureOverride(this.machine, to, unsure);
  }

  async restoreBootOrder(to: BootOrderEntry[]): Promise<void> {
    await this.identify();
    await restoreBootOrder(this.machine, to);
  }

  async insertMedia(url: string): Promise<MediaSlot> {
    await this.identify();
    return await this.media.insert(url);
  }

  async restoreMedia(to: MediaSlot[]): Promise<void> {
    await this.identify();
    await this.media.restore(to);
  }

  async bootProgress(): Promise<string | null> {
    await this.identify();
    const { system } = await this.machine.look();
    return system.BootProgress.LastState;
  }

  usage(): ControlUsage {
    return { total: this.machine.client.transport.sent, powerPolls: this.machine.powerPolls };
  }

  async close(): Promise<void> {
    await this.machine.client.close();
  }

  /** The service root first, without credentials; then the login; then the system and its UUID. */
  private async prove(): Promise<ControlIdentity> {
    const { machine } = this;
    const root = await machine.client.root();
    const { system } = await machine.look();
    const systemUuid = usableUuid(system.UUID);
    const id = await machine.id();
    await proveIdentity(machine.target, { at: machine.at, system: id, uuid: systemUuid }, () => this.macs(system));
    return {
      serviceUuid: usableUuid(root.UUID),
      systemUuid,
      system: id,
      manufacturer: system.Manufacturer,
      model: system.Model,
    };
  }

  private async macs(system: System): Promise<string[]> {
    if (system.EthernetInterfaces === null) return [];
    const bodies = await this.machine.client.members(system.EthernetInterfaces, this.machine.dialect.parentFirst);
    return bodies
      .map((body) => EthernetInterface.parse(body))
      .flatMap((nic) => [normalMac(nic.PermanentMACAddress), normalMac(nic.MACAddress)])
      .filter((mac) => mac !== null);
  }

  /** What the next boot will enforce; null where the service does not say. */
  private async secureBoot(system: System): Promise<boolean | null> {
    if (system.SecureBoot === null) return null;
    const answer = await this.machine.client.get(system.SecureBoot, [404]);
    if (answer === null) return null;
    const { SecureBootEnable: enable, SecureBootCurrentBoot: current } = SecureBoot.parse(answer.body);
    return enable ?? (current === null ? null : current === "Enabled");
  }
}
