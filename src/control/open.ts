import type { CredentialRef } from "../domain/basics.js";
import { PitstopError } from "../domain/errors.js";
import type { RedfishControl as RedfishDocument, Target } from "../domain/target.js";
import type { TargetControl } from "./control.js";
import { nameOf } from "./credentials.js";
import type { Log } from "./log.js";
import { RedfishClient } from "./redfish/client.js";
import { Machine } from "./redfish/machine.js";
import { RedfishControl } from "./redfish/redfish.js";
import { type BmcPool, Transport } from "./redfish/transport.js";
import { readTrust } from "./tls.js";

export interface ControlDeps {
  /** Resolves a reference at each login; what it yields is not kept. */
  credentials: (ref: CredentialRef) => Promise<{ user: string; password: string }>;
  /** Where a relative `tls.ca` is taken from; the working folder by default. */
  root?: string;
  log?: Log;
  sleep?: (ms: number) => Promise<unknown>;
  now?: () => number;
  /** Stands between the control and its connections to the BMC. */
  throughPool?: (pool: BmcPool) => BmcPool;
}

/**
 * The control of a target: its first redfish document. Nothing is sent yet: the first call proves the identity.
 * Errors: `invalid` when the document cannot be used.
 */
export async function openControl(target: Target, deps: ControlDeps): Promise<TargetControl> {
  const document = target.control.find((one): one is RedfishDocument => "redfish" in one);
  if (document === undefined) {
    throw new PitstopError("invalid", `${target.name} has no redfish control; the others are not driven yet.`);
  }
  const { url, system, credentials, tls } = document.redfish;
  const options = {
    ...(deps.log ? { log: deps.log } : {}),
    ...(deps.sleep ? { sleep: deps.sleep } : {}),
  };
  const transport = new Transport({
    origin: originOf(target.name, url, tls.insecure === true),
    trust: await readTrust(tls, deps.root ?? process.cwd()),
    ...(deps.throughPool ? { throughPool: deps.throughPool } : {}),
    ...options,
  });
  const client = new RedfishClient({
    transport,
    credentials: () => deps.credentials(credentials),
    credentialsName: nameOf(credentials),
    ...options,
  });
  const clock = deps.now ? { now: deps.now } : {};
  return new RedfishControl(new Machine(client, target, system, { ...options, ...clock }));
}

/** Plain HTTP carries the password in the clear: only where the document says that it wants no security. */
function originOf(name: string, text: string, insecure: boolean): string {
  const url = new URL(text);
  if (url.pathname.replace(/\/redfish(\/v1)?\/?$/, "/") !== "/" || url.search !== "" || url.hash !== "") {
    throw new PitstopError(
      "invalid",
      `${name}'s redfish url is ${text}; give the BMC's origin alone, such as ${url.origin}.`,
    );
  }
  if (url.protocol === "http:" && !insecure) {
    throw new PitstopError(
      "invalid",
      `${name}'s redfish url is plain http, which would show the password to the network; use https, or say tls.insecure.`,
    );
  }
  return url.origin;
}
