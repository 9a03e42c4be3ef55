import { readFileSync } from "node:fs";
import { Agent, request } from "undici";
import type { LabTarget } from "../../src/lab/lab.js";
import { until } from "./operator.js";

/** Types of reset that Pitstop never asks for: what they do is a stranger's, and no record's to explain. */
export const STRANGE = ["ForceRestart", "PowerCycle", "ForceOn"] as const;

export const isStrange = (reset: string | null): boolean => STRANGE.some((type) => type === reset);

const ARMED_MS = 20_000;
const SPENT_MS = 10_000;

/** Whoever comes by does not care for the certificate. */
const careless = new Agent({ connect: { rejectUnauthorized: false }, headersTimeout: 10_000 });

/** Another client of the BMC, with the right password. */
export async function strangeReset({ bmc, credentialsFile }: LabTarget, type: (typeof STRANGE)[number]): Promise<void> {
  const response = await request(`${bmc.url}/redfish/v1/Systems/1/Actions/ComputerSystem.Reset`, {
    method: "POST",
    dispatcher: careless,
    headers: {
      authorization: `Basic ${Buffer.from(readFileSync(credentialsFile, "utf8").trim()).toString("base64")}`,
      "content-type": "application/json",
    },
    body: JSON.stringify({ ResetType: type }),
  });
  await response.body.dump();
  if (response.statusCode >= 300) throw new Error(`the BMC answered ${response.statusCode}`);
}

/**
 * A stranger starts the machine with the one-time override that was armed for our boot, and resets it at once: the override is spent,
 * and the machine's own system comes up.
 */
export async function spendOverride(target: LabTarget): Promise<void> {
  const { bmc, machine } = target;
  const isArmed = () => bmc.override.enabled === "Once";
  await until("an override that is armed", async () => isArmed() || null, ARMED_MS);
  await strangeReset(target, machine.isOn() ? "ForceRestart" : "ForceOn");
  await until("an override that is spent", async () => !isArmed() || null, SPENT_MS);
  await strangeReset(target, "ForceRestart");
}
