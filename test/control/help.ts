import { afterEach } from "vitest";
import { captureBootState, powerOf, readPower } from "../../src/control/boot-state.js";
import type {
  Armed,
  BootChoice,
  Capabilities,
  ControlIdentity,
  ControlUsage,
  Inserted,
  ResetKind,
  TargetControl,
} from "../../src/control/control.js";
import { type ControlDeps, openControl } from "../../src/control/open.js";
import { PitstopError } from "../../src/domain/errors.js";
import { isKnown, type Reading } from "../../src/domain/reading.js";
import type { BootOrderEntry, BootOverride, BootState, MediaSlot, PowerState } from "../../src/domain/snapshot.js";
import { Target } from "../../src/domain/target.js";
import { armNextBoot } from "../../src/ways/network-first.js";
import { FakeBmc, MAC, UUID } from "./fake-bmc.js";

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});

export async function startBmc(change: (bmc: FakeBmc) => void = () => undefined): Promise<FakeBmc> {
  const bmc = await FakeBmc.start();
  open.push({ close: () => bmc.stop() });
  change(bmc);
  return bmc;
}

export function targetOf(url: string, tls: object, change: object = {}): Target {
  return Target.parse({
    kind: "Target",
    name: "r1-n07",
    identity: { uuid: UUID, macs: [MAC] },
    control: [{ redfish: { url, credentials: { env: "BMC" }, tls } }],
    boot: { firmware: "uefi", via: ["pxe"] },
    home: [{ tcp: { host: "127.0.0.1", port: 22 } }],
    ...change,
  });
}

/** The capability, which this machine must have. */
function has<T>(capability: T | null): T {
  if (capability === null) throw new PitstopError("refused", "The control does not have that.");
  return capability;
}

/** What must have been read. */
export function known<T>(reading: Reading<T>): T {
  if (isKnown(reading)) return reading;
  throw new Error(`not known: ${JSON.stringify(reading)}`);
}

/** A control with its proof made once, as one activity does. */
export class Hands {
  private proved: Promise<Capabilities> | null = null;

  constructor(
    readonly control: TargetControl,
    readonly target: Target,
  ) {}

  /** Proves anew, as the next activity does. */
  prove(kept?: ControlIdentity): Promise<Capabilities> {
    this.proved = this.control.prove(kept);
    return this.proved;
  }

  async can(): Promise<Capabilities> {
    const proving = this.proved ?? this.prove();
    proving.catch(() => {
      this.proved = null;
    });
    return await proving;
  }

  async identify(): Promise<ControlIdentity> {
    return (await this.can()).identity;
  }

  async readState(): Promise<BootState> {
    return await captureBootState(await this.can());
  }

  async power(): Promise<PowerState> {
    return await readPower(powerOf(await this.can()));
  }

  async reset(kind: ResetKind): Promise<void> {
    await powerOf(await this.can()).reset(kind);
  }

  async armed(choice: BootChoice): Promise<Armed> {
    return await armNextBoot(await this.can(), this.target, choice);
  }

  async arm(choice: BootChoice): Promise<BootOverride> {
    return (await this.armed(choice)).override;
  }

  async restoreOverride(to: Reading<BootOverride>, unsure = false): Promise<BootOverride> {
    const nextBoot = has((await this.can()).nextBoot);
    await nextBoot.restore(known(to), unsure);
    return known(await nextBoot.read());
  }

  async restoreBootOrder(to: Reading<BootOrderEntry[]>): Promise<string[]> {
    return await has((await this.can()).bootOrder).restore(known(to));
  }

  async insertMedia(url: string, verify = false): Promise<Inserted> {
    return await has((await this.can()).media).insert(url, { verify });
  }

  async restoreMedia(to: Reading<MediaSlot[]>): Promise<void> {
    await has((await this.can()).media).restore(known(to));
  }

  usage(): ControlUsage {
    return this.control.usage();
  }

  close(): Promise<void> {
    return this.control.close();
  }
}

export async function controlOf(target: Target, deps: Partial<ControlDeps> = {}): Promise<Hands> {
  const control = await openControl(target, {
    credentials: async () => ({ user: "admin", password: "secret-of-the-fake" }),
    sleep: async () => undefined,
    ...deps,
  });
  open.unshift(control);
  return new Hands(control, target);
}

/** A control of the fake by its pinned certificate. */
export const connect = (bmc: FakeBmc, change: object = {}, deps: Partial<ControlDeps> = {}): Promise<Hands> =>
  controlOf(targetOf(bmc.url, { fingerprint256: bmc.fingerprint }, change), deps);

export async function failure(work: Promise<unknown>): Promise<PitstopError> {
  const error = await work.then(
    () => new Error("it succeeded"),
    (thrown: unknown) => thrown,
  );
  if (error instanceof PitstopError) return error;
  throw error;
}
