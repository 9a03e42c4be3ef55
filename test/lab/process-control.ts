import { readFile } from "node:fs/promises";
import type { Capabilities, Console, Power, TargetControl } from "../../src/control/control.js";
import { PitstopError } from "../../src/domain/errors.js";
import { usableUuid } from "../../src/domain/machine-identity.js";
import { ABSENT, unreadable } from "../../src/domain/reading.js";
import type { Target } from "../../src/domain/target.js";
import type { LabMachine } from "../../src/lab/machine.js";

/** A machine's plug, its power button and its console, and nothing else: no override, no boot order, no media. */
export function processControl(machine: LabMachine, target: Target): TargetControl {
  let total = 0;
  let powerPolls = 0;
  let writes = 0;
  const power: Power = {
    async read() {
      total++;
      powerPolls++;
      return machine.isOn() ? "On" : "Off";
    },
    compare: (before, after) => ({
      differences: before === after ? [] : [{ field: "power", before, after }],
      added: [],
    }),
    pending: () => null,
    progress: async () => ABSENT,
    async reset(kind) {
      total++;
      writes++;
      if (kind === "GracefulShutdown") await machine.pressPowerButton();
      if (kind === "ForceOff" || kind === "ForceRestart") await machine.kill();
      if (kind === "On" || kind === "ForceRestart") await machine.start({ from: "disk" });
    },
  };
  const console: Console = {
    async tail(maxBytes) {
      if (machine.consoleLog === null) return ABSENT;
      const text = await readFile(machine.consoleLog, "utf8").catch(() => null);
      return text === null ? unreadable("the console's log cannot be read") : text.slice(-maxBytes);
    },
  };
  const identity = {
    ...{ serviceUuid: null, systemUuid: usableUuid(machine.uuid), system: machine.name },
    ...{ manufacturer: null, model: null, macs: [] },
  };
  const can: Capabilities = {
    ...{ identity, kind: "process", power, console },
    ...{ nextBoot: null, bootOrder: null, media: null, secureBoot: null },
  };
  return {
    async prove(kept) {
      if (target.identity.uuid === machine.uuid && (kept?.systemUuid ?? machine.uuid) === machine.uuid) return can;
      throw new PitstopError("refused", `${machine.name} is another machine than ${target.name}.`);
    },
    usage: () => ({ total, powerPolls, writes }),
    close: async () => undefined,
  };
}
