import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { request as httpsRequest } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BmcOptions, LabBmc } from "../../src/lab/bmc/bmc.js";
import { LabCa } from "../../src/lab/bmc/tls.js";
import { RecordingMachine } from "./bmc-machine.js";

export const LOGIN = { userName: "admin", password: "correct-horse" };
export const SYSTEM = "/redfish/v1/Systems/1";

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
  json: Record<string, unknown>;
}

export interface Ask {
  headers?: Record<string, string>;
  body?: unknown;
  /** Sent as they are, instead of `body` as JSON. */
  raw?: string;
  /** Without it the request logs in by Basic authentication. */
  anonymous?: boolean;
}

/** A BMC in front of a recording machine, with delays of a few milliseconds. */
export class BmcHarness {
  private constructor(
    readonly dir: string,
    readonly ca: LabCa,
    readonly machine: RecordingMachine,
    public bmc: LabBmc,
    readonly options: BmcOptions,
  ) {}

  static async start(
    change: Partial<BmcOptions> & { firmware?: "uefi" | "bios"; machine?: RecordingMachine } = {},
  ): Promise<BmcHarness> {
    const dir = await mkdtemp(join(tmpdir(), "pitstop-bmc-"));
    const ca = await LabCa.open(join(dir, "tls"));
    const { firmware, ...rest } = change;
    const machine = change.machine ?? new RecordingMachine("m1", "4c4c4544-0042-4810-8051-b4c04f4e4d31", firmware);
    const options: BmcOptions = {
      dir: join(dir, "m1"),
      host: "127.0.0.1",
      port: 0,
      identity: await ca.identity("m1", "127.0.0.1"),
      login: LOGIN,
      timing: { offMs: [5, 10], onMs: [5, 10], cycleMs: [5, 10] },
      sessionTimeoutSeconds: 1800,
      mediaCaFile: null,
      secureBoot: false,
      initialPower: "off",
      ...rest,
      machine,
    };
    return new BmcHarness(dir, ca, machine, await LabBmc.start(options), options);
  }

  /** As when the lab's process dies and comes again, with another machine of the same folder. */
  async restart(
    machine = new RecordingMachine("m1", this.machine.uuid, this.machine.firmware),
  ): Promise<RecordingMachine> {
    await this.bmc.close();
    this.bmc = await LabBmc.start({ ...this.options, machine });
    return machine;
  }

  async stop(): Promise<void> {
    await this.bmc.close();
    await rm(this.dir, { recursive: true, force: true });
  }

  ask(method: string, path: string, { headers = {}, body, raw, anonymous }: Ask = {}): Promise<Answer> {
    const basic = Buffer.from(`${LOGIN.userName}:${LOGIN.password}`).toString("base64");
    const loggedIn = anonymous || headers["x-auth-token"] || headers.authorization;
    const text = raw ?? (body === undefined ? undefined : JSON.stringify(body));
    return new Promise((resolve, reject) => {
      const request = httpsRequest(
        `${this.bmc.url}${path}`,
        {
          method,
          ca: readFileSync(this.ca.caFile),
          headers: {
            ...(loggedIn ? {} : { authorization: `Basic ${basic}` }),
            ...(text === undefined ? {} : { "content-type": "application/json" }),
            ...headers,
          },
          agent: false,
        },
        (response) => {
          const pieces: Buffer[] = [];
          response.on("data", (piece: Buffer) => pieces.push(piece));
          response.on("error", reject);
          response.on("end", () => {
            const answer = Buffer.concat(pieces).toString("utf8");
            const isJson = String(response.headers["content-type"]).startsWith("application/json") && answer !== "";
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              text: answer,
              json: isJson ? JSON.parse(answer) : {},
            });
          });
        },
      );
      request.on("error", reject);
      request.end(text);
    });
  }

  async reset(type: string): Promise<Answer> {
    const answer = await this.ask("POST", `${SYSTEM}/Actions/ComputerSystem.Reset`, { body: { ResetType: type } });
    await this.bmc.settled();
    return answer;
  }

  async patchBoot(boot: Record<string, unknown>): Promise<Answer> {
    return await this.ask("PATCH", SYSTEM, { body: { Boot: boot } });
  }
}
