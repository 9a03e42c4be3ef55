import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cacheFolder } from "../src/cache-folder.js";
import { parseYaml } from "../src/catalogue/documents.js";
import { type Config, dataFolder, loadConfig } from "../src/config.js";
import { PitstopError } from "../src/domain/errors.js";
import { LabConfig, type LabConfigInput } from "../src/lab/config.js";
import { type Lab, startLab } from "../src/lab/lab.js";
import { qemuAvailable } from "../src/lab/qemu/index.js";
import { readOptions } from "./options.js";

const USAGE = `Usage: pitstop lab [options]

Machines and BMCs to rehearse on. Writes their target documents to PITSTOP_DATA/lab/targets.yaml for pitstop apply.

  -f, --file FILE    lab configuration (docs/lab.md); without it:
  --bios N           QEMU machines with SeaBIOS          (default 1, 0 with --process)
  --uefi N           QEMU machines with OVMF             (default 0)
  --process N        process machines                    (default 0)
  --site-url URL     where targets find the boot server  (default PITSTOP_SITE_URL, else http://127.0.0.1:8481)
`;

/** `pitstop lab`: until a signal ends it. Returns the exit code. */
export async function lab(argv: string[], config: Config = loadConfig()): Promise<number> {
  const options = readArguments(argv);
  if (options === "help") {
    process.stdout.write(USAGE);
    return 0;
  }
  const running = await openLab(config, options.machines, options.siteUrl);
  for (const { name, machine, bmc } of running.targets) {
    console.log(
      `${name.padEnd(16)} ${machine.kind.padEnd(8)} ${machine.firmware.padEnd(5)} BMC ${bmc.url}  home ${machine.homeUrl}`,
    );
  }
  console.log(`targets: pitstop apply -f ${join(config.PITSTOP_DATA, "lab", "targets.yaml")}`);
  await new Promise<void>((resolve) => {
    process.once("SIGINT", () => resolve());
    process.once("SIGTERM", () => resolve());
  });
  await running.close();
  return 0;
}

/** Starts a lab below the state folder, and writes its target documents. */
export async function openLab(config: Config, machines: LabConfigInput, siteUrl?: string): Promise<Lab> {
  const parsed = LabConfig.parse(machines);
  const qemu = qemuAvailable();
  if (parsed.machines.some((machine) => machine.kind === "qemu") && !qemu.available) {
    throw new PitstopError(
      "refused",
      `QEMU machines need ${qemu.missing.join(", ")}; install ${qemu.packages.join(" ")}, or use process machines (--process N).`,
    );
  }
  const dataDir = dataFolder(config, "lab");
  const caFile = join(config.PITSTOP_DATA, "site", "ca.pem");
  const running = await startLab({
    dataDir,
    cacheDir: cacheFolder(),
    config: machines,
    siteUrl: siteUrl ?? config.PITSTOP_SITE_URL ?? `http://127.0.0.1:${config.PITSTOP_SITE_LISTEN.port}`,
    siteCaFile: existsSync(caFile) ? caFile : null,
  });
  writeFileSync(join(dataDir, "targets.yaml"), running.targetYaml());
  return running;
}

function readArguments(argv: string[]): { machines: LabConfigInput; siteUrl?: string } | "help" {
  const values = readOptions(argv, "pitstop lab --help", {
    file: { type: "string", short: "f" },
    bios: { type: "string" },
    uefi: { type: "string" },
    process: { type: "string" },
    "site-url": { type: "string" },
    help: { type: "boolean", short: "h" },
  });
  if (values.help) return "help";
  const site = values["site-url"] ? { siteUrl: String(values["site-url"]) } : {};
  if (values.file) {
    const file = String(values.file);
    if (!existsSync(file)) throw new PitstopError("invalid", `There is no file ${file}; name a lab configuration.`);
    const [document] = parseYaml(readFileSync(file, "utf8"), file, LabConfig);
    if (!document) throw new PitstopError("invalid", `${file} has no lab configuration in it.`);
    return { machines: document.value as LabConfigInput, ...site };
  }
  const number = (key: "bios" | "uefi" | "process", otherwise: number) => {
    const text = values[key];
    if (text === undefined) return otherwise;
    if (!/^\d{1,3}$/.test(String(text))) throw new PitstopError("invalid", `--${key} takes a number, not "${text}".`);
    return Number(text);
  };
  const processes = number("process", 0);
  const bios = number("bios", processes > 0 || values.uefi ? 0 : 1);
  const names = (prefix: string, count: number) =>
    Array.from({ length: count }, (_, i) => `${prefix}-${String(i + 1).padStart(count > 99 ? 3 : 1, "0")}`);
  return {
    machines: {
      machines: [
        ...names("lab-bios", bios).map((name) => ({ name, kind: "qemu" as const, firmware: "bios" as const })),
        ...names("lab-uefi", number("uefi", 0)).map((name) => ({
          name,
          kind: "qemu" as const,
          firmware: "uefi" as const,
        })),
        ...names("lab-process", processes).map((name) => ({
          name,
          kind: "process" as const,
          firmware: "bios" as const,
        })),
      ],
    },
    ...site,
  };
}
