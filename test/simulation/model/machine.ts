import { agent } from "./agent.js";
import { Bmc } from "./bmc.js";
import { after, elapsed, inWorld, Life, within } from "./clock.js";
import type { World } from "./world.js";

export type Running = "nothing" | "post" | "home-boot" | "home" | "shutting-down" | "image-boot" | "image" | "wrong";

/** What an image is told when it boots: by its archive, over the network or in the medium. */
export interface Boot {
  nonce: string;
  leaseMs: number;
  deadlineMs: number;
  wasOff: boolean;
  /** Which of its boots this is, for the promises. */
  bootId: string;
}

/** A target: firmware, a system of its own, and whatever image it is told to boot. */
export class Machine {
  readonly bmc: Bmc;
  readonly uuid: string;
  readonly mac: string;
  readonly machineId: string;
  /** Its own boot order begins with the network, so that even its way home leads past the boot server. */
  readonly networkFirst: boolean;
  power: "On" | "Off" = "Off";
  running: Running = "nothing";
  runningSince = 0;
  bootId = "";
  boots = 0;
  /** Whoever resets it but us: what happened after that is not held against the session. */
  strangerAt = Number.NEGATIVE_INFINITY;
  private life = new Life("nothing");

  constructor(
    readonly world: World,
    readonly name: string,
    readonly nth: number,
    wasOn: boolean,
  ) {
    this.uuid = world.random.uuid();
    this.machineId = world.random.bytes(16).toString("hex");
    this.mac = `52:54:00:00:00:${String(10 + nth)}`;
    this.networkFirst = world.random.chance(0.3);
    this.bmc = new Bmc(this);
    if (!wasOn) return;
    this.power = "On";
    this.bootId = world.random.uuid();
    this.become("home");
  }

  get isOwnSystemUp(): boolean {
    return this.running === "home" && elapsed() - this.runningSince > 10_000;
  }

  powerOn(): void {
    if (this.power === "On") return;
    this.power = "On";
    this.boot();
  }

  powerOff(why: string): void {
    if (this.power === "Off") return;
    this.life.alive = false;
    this.power = "Off";
    this.become("nothing", why);
  }

  /** A reset without loss of power: by itself, by its image, or by a stranger. */
  reboot(why: string): void {
    if (this.power === "Off") return;
    this.world.tell(`${this.name}: resets (${why})`);
    this.boot();
  }

  /** The power button, as the target's own system takes it. */
  askToShutDown(): void {
    if (this.running !== "home") return;
    const how = this.world.adversary.shutdown();
    if (how === "ignores") return;
    this.become("shutting-down");
    const ms = how === "late" ? this.world.random.between(65_000, 85_000) : this.world.random.between(2_000, 20_000);
    within({ life: this.life }, () => after(ms, () => this.powerOff("its system has shut down")));
  }

  /** What its own system says at its address; null where nobody answers. */
  home(): object | null {
    const answers = this.running === "home" || (this.running === "shutting-down" && this.world.random.chance(0.5));
    if (answers) return { machineId: this.machineId, bootId: this.bootId };
    if (this.running === "wrong") return { machineId: "f".repeat(32), bootId: this.bootId };
    return null;
  }

  become(running: Running, why = ""): void {
    this.running = running;
    this.runningSince = elapsed();
    this.world.tell(`${this.name}: ${running}${why ? ` (${why})` : ""}`);
  }

  private boot(): void {
    this.life.alive = false;
    this.life = new Life(`${this.name} boot ${++this.boots}`);
    this.bootId = this.world.random.uuid();
    inWorld(() => this.become("post"));
    within({ life: this.life }, () => {
      after(this.world.random.between(4_000, 15_000), () => void this.choose());
    });
  }

  /** Firmware's choice: the override first, which is spent by looking at it. */
  private async choose(): Promise<void> {
    const target = this.bmc.spendOverride();
    const ignored = target !== null && this.world.adversary.ignoresOverride();
    // A system that ran before departure would be what home looks like.
    if (this.world.catalogue.snapshots.has(this.name) && this.world.adversary.bootsWrong()) return this.wrong();
    if (target === "Cd" && !ignored) {
      const boot = this.world.bootOfMedium(this);
      if (boot) return await this.image(boot);
    } else if ((target !== null && !ignored) || this.networkFirst) {
      const boot = await this.netboot();
      if (boot) return await this.image(boot);
    }
    this.bootHome();
  }

  /** Some other system on another disk: a target that went home by the wrong door. */
  private wrong(): void {
    this.become("wrong");
    after(this.world.random.between(60_000, 120_000), () => this.reboot("somebody noticed the wrong system"));
  }

  bootHome(): void {
    this.become("home-boot");
    after(this.world.random.between(4_000, 20_000), () => this.become("home"));
  }

  private async netboot(): Promise<Boot | null> {
    const url = `/boot.ipxe?platform=pcbios&mac=${this.mac}&uuid=${this.uuid}&serial=1`;
    for (let attempt = 0; attempt < 3; attempt++) {
      try {
        const { status, body } = await this.world.network.fromTarget(this, "plain", { method: "GET", url }, 20_000);
        if (status !== 200) return null;
        const nonce = /kernel \/b\/([\w-]+)\//.exec(String(body))?.[1];
        if (!nonce) return null;
        this.world.promises.scriptServed(this);
        return this.world.bootOfNonce(this, nonce);
      } catch {
        // The network card tries again, as firmware does.
      }
    }
    return null;
  }

  private async image(boot: Boot): Promise<void> {
    const mode = this.world.adversary.image();
    this.become("image-boot", mode);
    const { random } = this.world;
    if (mode === "panics") return void after(40_000, () => this.reboot("panic=30"));
    if (mode === "hangs") return void after(random.between(60_000, 400_000), () => this.reboot("the watchdog bit"));
    after(random.between(3_000, 12_000), () => {
      this.become("image");
      void agent(this, boot, mode);
    });
  }
}
