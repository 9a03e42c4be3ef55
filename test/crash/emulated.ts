import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { begin, type Scenario } from "./scenarios.js";

const MINUTE = 60_000;
/** How a guest sees this host. */
export const HOST_SEEN_BY_GUEST = "10.0.2.2";

/** Emulated machines, with real firmware, kernels and images; a handful, where process machines are hundreds. */
export const EMULATED_POOLS = {
  "qemu-bios": { kind: "qemu", firmware: "bios" },
  "qemu-uefi": { kind: "qemu", firmware: "uefi" },
} as const;
type EmulatedPool = keyof typeof EMULATED_POOLS;

const emulated = (pool: EmulatedPool): Scenario => ({
  ...{ name: pool, pool, outcome: "succeeded", boots: 1, sessions: { least: 1, most: 1 } },
  patienceMs: 12 * MINUTE,
  // UEFI firmware takes that much longer than the other on two busy cores.
  heldMs: MINUTE,
  drive: (world, target) => begin(world, target, { action: "emulated" }),
});
export const EMULATED: readonly Scenario[] = (Object.keys(EMULATED_POOLS) as EmulatedPool[]).map(emulated);

/** The action of emulated machines: its first task stays behind and waits for the agent's death. */
export function emulatedAction(deaths: Deaths): object {
  const script = `setsid sh -c '
who=$(curl -qfsS -m 3000 "${deaths.url}/$0") || exit 0
for one in $who; do read -r pid <"/run/pitstop/$one.pid" && kill -9 "$pid"; done
' "$PITSTOP_TARGET" </dev/null >/dev/null 2>&1 &
sleep 3
echo '{"ok": true}'`;
  return {
    kind: "Action",
    name: "emulated",
    image: "pitstop-base",
    mode: "active",
    tasks: [
      { name: "first", script, timeout: "2m" },
      { name: "second", script: "sleep 3; echo '{}'", timeout: "2m" },
    ],
    // An emulated boot takes half a minute, and twice that beside others.
    limits: { boot: "3m", bootAttempts: 2, work: "6m", lease: "3m", home: "4m" },
  };
}

/** Nothing of this host reaches a process in a guest: the guest asks here when its agent has to die, and is answered then. */
export class Deaths {
  private readonly asking = new Map<string, ServerResponse>();

  private constructor(private readonly server: Server) {}

  static async listen(): Promise<Deaths> {
    const server = createServer();
    const deaths = new Deaths(server);
    server.on("request", ({ url }, response) => {
      const target = (url ?? "").slice(1);
      deaths.asking.set(target, response);
      response.on("close", () => {
        if (deaths.asking.get(target) === response) deaths.asking.delete(target);
      });
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    return deaths;
  }

  get url(): string {
    return `http://${HOST_SEEN_BY_GUEST}:${(this.server.address() as AddressInfo).port}`;
  }

  /** Whether an image runs there whose agent could be killed. */
  has = (target: string): boolean => this.asking.has(target);

  kill(target: string, withGuard: boolean): boolean {
    const response = this.asking.get(target);
    response?.end(withGuard ? "agent guard" : "agent");
    return response !== undefined;
  }

  close(): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}
