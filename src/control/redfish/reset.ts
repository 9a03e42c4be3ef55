import { PitstopError } from "../../domain/errors.js";
import type { ResetKind } from "../control.js";
import { LIBRARY_RESETS } from "./client.js";
import { faultOf } from "./faults.js";
import type { Machine } from "./machine.js";
import { ActionInfo, type System } from "./resources.js";

/** The ResetTypes (DSP0268 Resource.ResetType) that do what is asked, best first. */
const WAYS: Record<ResetKind, readonly string[]> = {
  On: ["On", "ForceOn", "PushPowerButton"],
  ForceOff: ["ForceOff"],
  // Pressing the button asks the system in the same way, where the BMC has no word of its own for it. HPE Cray EX calls it Off,
  // beside ForceOff.
  GracefulShutdown: ["GracefulShutdown", "PushPowerButton", "Off"],
  ForceRestart: ["ForceRestart", "PowerCycle"],
};

/**
 * Asks for a reset, once. What a service allows is a property of the machine, not of the moment, so the list last read
 * decides. A lost answer is an `unreachable` error: only the power tells what became of it.
 */
export class Resets {
  private actionInfo: readonly string[] | null = null;

  constructor(private readonly machine: Machine) {}

  async ask(kind: ResetKind): Promise<void> {
    await this.machine.compareIdentity();
    const system = await this.machine.capabilities();
    const action = system.Actions["#ComputerSystem.Reset"];
    if (action.target === null) throw this.cannot(kind, []);
    const allowed = await this.allowed(action);
    const way =
      allowed === null ? WAYS[kind][0] : WAYS[kind].find((one) => allowed.includes(one) && isMeant(one, allowed));
    if (way === undefined) throw this.cannot(kind, allowed ?? []);
    try {
      await this.send(action.target, way);
    } finally {
      this.machine.wrote();
    }
  }

  private async send(target: string, way: string): Promise<void> {
    const { client, dialect } = this.machine;
    try {
      if (isLibraryReset(way)) return await client.reset(way, await this.machine.id());
      const path = client.transport.pathOf(target);
      const answer = await client.send({ method: "POST", path, body: { ResetType: way }, again: "never" });
      if (answer.status >= 400) throw faultOf(answer, `the reset ${way}`);
    } catch (error) {
      throw notNow(error, way, dialect.notNowConflict);
    }
  }

  /** The annotation's list, else the ActionInfo resource's; null where the service says nothing. */
  private async allowed(action: System["Actions"]["#ComputerSystem.Reset"]): Promise<readonly string[] | null> {
    const annotated = action["ResetType@Redfish.AllowableValues"];
    if (annotated !== null) return annotated;
    if (this.actionInfo !== null || action["@Redfish.ActionInfo"] === null) return this.actionInfo;
    const answer = await this.machine.client.get(action["@Redfish.ActionInfo"], [404]);
    const parameters = answer === null ? [] : (ActionInfo.parse(answer.body).Parameters ?? []);
    this.actionInfo = parameters.find((one) => one.Name === "ResetType")?.AllowableValues ?? null;
    return this.actionInfo;
  }

  private cannot(kind: ResetKind, allowed: readonly string[]): PitstopError {
    const offers = allowed.length === 0 ? "no resets" : allowed.join(", ");
    return new PitstopError(
      "refused",
      `${this.machine.target.name}'s BMC cannot do ${kind} (it offers ${offers}); do it by hand, or update the BMC's firmware.`,
    );
  }
}

/** Where `Off` is the only word for off, it may as well cut the power. */
const isMeant = (way: string, allowed: readonly string[]): boolean => way !== "Off" || allowed.includes("ForceOff");

const isLibraryReset = (way: string): way is keyof typeof LIBRARY_RESETS => way in LIBRARY_RESETS;

/** Where the machine answers 409 while it is between two states, the same request goes through a little later. */
function notNow(error: unknown, way: string, conflictPasses: boolean): unknown {
  if (!conflictPasses || !(error instanceof PitstopError) || error.facts.status !== 409) return error;
  return new PitstopError("unreachable", `The BMC is not ready for ${way} yet; it may accept it later.`, {
    cause: error,
    facts: error.facts,
  });
}
