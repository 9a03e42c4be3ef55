import { MockActivityEnvironment } from "@temporalio/testing";
import { describe, expect, it } from "vitest";
import { Controls } from "../../activities/controls.js";
import { powerOf, readPower } from "../../src/control/boot-state.js";
import type { TargetControl } from "../../src/control/control.js";
import { PitstopError } from "../../src/domain/errors.js";
import type { SitePlan } from "../../src/domain/session.js";
import { planOf } from "../boot/help.js";

/** A BMC that counts who comes with the wrong password. */
class LockingBmc {
  logins = 0;
  passwordIsRight = false;
  private readonly controls = new Controls(async () => this.control());

  /** What an activity gets of it: the power, or the code of its failure. */
  async ask(plan: SitePlan): Promise<string> {
    const look = async () => {
      const looked = this.controls.use(plan, async (can) => ({ power: await readPower(powerOf(can)) }));
      return await looked.then(
        ({ power }) => power,
        (error: PitstopError) => error.code,
      );
    };
    return (await new MockActivityEnvironment().run(look)) as string;
  }

  end = (plan: SitePlan) => this.controls.end(plan);

  private control(): TargetControl {
    const prove = async () => {
      this.logins++;
      if (!this.passwordIsRight) throw new PitstopError("unauthorized", "bmc refused the user and password.");
      return { kind: "locking", power: { read: async () => "On" } };
    };
    const usage = () => ({ total: 0, powerPolls: 0, writes: 0 });
    return { prove, usage, close: async () => undefined } as unknown as TargetControl;
  }
}

describe("a BMC that refuses the password", () => {
  const refusedAlready = async () => {
    const bmc = new LockingBmc();
    const plan = planOf();
    for (let attempt = 1; attempt <= 10; attempt++) expect(await bmc.ask(plan)).toBe("unauthorized");
    return { bmc, plan };
  };

  it("is asked twice by a session, however often Temporal repeats what it did not hear the end of", async () => {
    const { bmc } = await refusedAlready();
    expect(bmc.logins).toBe(2);
  });

  it("is asked again when a person wants it", async () => {
    const { bmc, plan } = await refusedAlready();
    bmc.passwordIsRight = true;
    expect(await bmc.ask(plan)).toBe("unauthorized");
    expect(await bmc.ask({ ...plan, now: { ...plan.now, retries: 1 } })).toBe("On");
    expect(bmc.logins).toBe(3);
  });

  it("is asked anew by another session, and by one that it let in since", async () => {
    const { bmc, plan } = await refusedAlready();
    const next = { ...plan, session: `${plan.session}-next` };
    expect(await bmc.ask(next)).toBe("unauthorized");
    bmc.passwordIsRight = true;
    expect(await bmc.ask(next)).toBe("On");
    bmc.passwordIsRight = false;
    for (let attempt = 1; attempt <= 5; attempt++) expect(await bmc.ask(next)).toBe("unauthorized");
    expect(bmc.logins).toBe(2 + 2 + 2);
  });

  it("is forgotten with the session", async () => {
    const { bmc, plan } = await refusedAlready();
    await bmc.end(plan);
    expect(await bmc.ask(plan)).toBe("unauthorized");
    expect(bmc.logins).toBe(3);
  });
});
