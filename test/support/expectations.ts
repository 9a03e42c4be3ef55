import { expect } from "vitest";
import type { SessionRecord } from "../../src/domain/record.js";
import type { Home, PowerOn, RunningMachine } from "./operations.js";

/** The phases of a session that went to the image and came home. */
export const AWAY_AND_HOME = [
  ...["planning", "capturing", "staging", "arming", "rebooting", "working"],
  ...["restoring", "verifying", "restored"],
];

/** These phases, one after the other without a gap, each with its times. */
export function expectPhases(record: SessionRecord, names: string[]): void {
  expect(record.phases.map((phase) => phase.name)).toEqual(names);
  const times = record.phases.flatMap(({ startedAt, endedAt }) => [startedAt, endedAt ?? "not ended"]);
  expect(times).toEqual([...times].sort());
  record.phases.slice(1).forEach((phase, index) => {
    expect(phase.startedAt).toBe(record.phases[index]?.endedAt);
  });
}

/** The boot state is field by field what it was, by the record and by the BMC itself. */
export function expectRestored(record: SessionRecord, machine: RunningMachine): void {
  const { before, after, differences, added } = record.restore;
  expect({ differences, added }).toEqual({ differences: [], added: [] });
  expect(before?.bootOrder).toEqual(expect.arrayContaining([expect.anything()]));
  expect({ ...after, readAt: null }).toEqual({ ...before, readAt: null });
  expect(machine.bmc.override.enabled).toBe("Disabled");
  expect(machine.bmc.insertedImage).toBeNull();
}

/** The record tells these power actions, each with its reason, and the BMC's own journal knows of no others. */
export function expectPowerActions(record: SessionRecord, machine: RunningMachine, actions: [string, string][]): void {
  expect(record.powerActions.map(({ what, why }) => [what, why])).toEqual(actions);
  expect(machine.resets()).toEqual(actions.map(([what]) => what));
}

/**
 * The target's own system is proved to run again: the same machine, `boots` starts later, with the user's file as it
 * was. By the record, and by what the system answers now.
 */
export async function expectHome(
  record: SessionRecord,
  machine: RunningMachine,
  before: Home,
  boots: number,
): Promise<void> {
  const now = await machine.home();
  expect(now).toMatchObject({ machineId: before.machineId, userFileSha256: before.userFileSha256 });
  expect(now.bootCount).toBe(before.bootCount + boots);
  expect(now.bootId === before.bootId).toBe(boots === 0);
  const answer = ({ machineId, bootId, bootCount, userFileSha256 }: Home) => [
    { answered: true, machineId, bootId, facts: { bootCount, userFileSha256 } },
  ];
  expect(record.home).toMatchObject({ proved: true, strength: "strong", reason: null });
  expect(record.home.before).toMatchObject(answer(before));
  expect(record.home.checks).toMatchObject(answer(now));
}

/** Between its power-on and the next one, each time, the image wrote to none of that many disks. */
export function expectDisksUntouched(powerOns: PowerOn[], disks: number): void {
  const away = powerOns.flatMap(({ from, digests }, at) => (from === "disk" ? [] : [{ at, digests }]));
  expect(away.length).toBeGreaterThan(0);
  for (const { at, digests } of away) {
    expect(digests).toHaveLength(disks);
    expect(powerOns[at + 1]?.digests).toEqual(digests);
  }
}
