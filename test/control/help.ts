import { afterEach } from "vitest";
import type { TargetControl } from "../../src/control/control.js";
import { type ControlDeps, openControl } from "../../src/control/open.js";
import { PitstopError } from "../../src/domain/errors.js";
import { Target } from "../../src/domain/target.js";
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

export async function controlOf(target: Target, deps: Partial<ControlDeps> = {}): Promise<TargetControl> {
  const control = await openControl(target, {
    credentials: async () => ({ user: "admin", password: "secret-of-the-fake" }),
    sleep: async () => undefined,
    ...deps,
  });
  open.unshift(control);
  return control;
}

/** A control of the fake by its pinned certificate. */
export const connect = (bmc: FakeBmc, change: object = {}, deps: Partial<ControlDeps> = {}): Promise<TargetControl> =>
  controlOf(targetOf(bmc.url, { fingerprint256: bmc.fingerprint }, change), deps);

export async function failure(work: Promise<unknown>): Promise<PitstopError> {
  const error = await work.then(
    () => new Error("it succeeded"),
    (thrown: unknown) => thrown,
  );
  if (error instanceof PitstopError) return error;
  throw error;
}
