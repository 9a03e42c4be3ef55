import { describe, expect, it, vi } from "vitest";
import { MAC, UUID } from "./fake-bmc.js";
import { connect, controlOf, failure, known, startBmc, targetOf } from "./help.js";

describe("order of contact", () => {
  it("sends nothing to a server whose fingerprint is not the pinned one", async () => {
    const bmc = await startBmc();
    const other = Array(32).fill("AB").join(":");
    const error = await failure((await controlOf(targetOf(bmc.url, { fingerprint256: other }))).identify());
    expect(error.code).toBe("refused");
    expect(error.message).toContain(bmc.fingerprint);
    expect(error.message).toContain(other);
    expect(bmc.seen).toEqual([]);
  });

  it("refuses a self-signed certificate that nothing vouches for", async () => {
    const bmc = await startBmc();
    const error = await failure((await controlOf(targetOf(bmc.url, {}))).identify());
    expect(error.code).toBe("refused");
    expect(error.message).toContain("tls.fingerprint256");
    expect(bmc.seen).toEqual([]);
  });

  it("verifies nothing where the document says so", async () => {
    const bmc = await startBmc();
    const control = await controlOf(targetOf(bmc.url, { insecure: true }));
    expect((await control.identify()).systemUuid).toBe(UUID);
  });

  it("refuses plain http unless the document wants no security", async () => {
    const error = await failure(controlOf(targetOf("http://127.0.0.1:1", {})));
    expect(error.code).toBe("invalid");
    await controlOf(targetOf("http://127.0.0.1:1", { insecure: true }));
  });

  it("reads the service root before it logs in, and the system after", async () => {
    const bmc = await startBmc();
    const identity = await (await connect(bmc)).identify();
    expect(bmc.seen.map((one) => `${one.method} ${one.path}`)).toEqual([
      "GET /redfish/v1/",
      "POST /redfish/v1/SessionService/Sessions",
      "GET /redfish/v1/Systems?$expand=.($levels=1)",
    ]);
    expect(identity).toEqual({
      serviceUuid: "11111111-2222-3333-4444-555555555555",
      systemUuid: UUID,
      system: "1",
      manufacturer: "Contoso",
      model: "3500",
      macs: [],
    });
  });

  it("tries a refused login once and never again by itself", async () => {
    const bmc = await startBmc((b) => {
      b.password = "another";
    });
    const error = await failure((await connect(bmc)).identify());
    expect(error.code).toBe("unauthorized");
    expect(error.message).toContain("the environment variable BMC");
    expect(JSON.stringify([error.message, error.facts])).not.toContain("secret-of-the-fake");
    expect(bmc.logins).toBe(1);
  });

  it.each([
    ["the login", "/SessionService/Sessions"],
    ["the systems", "/Systems"],
  ])("repeats neither password nor token where the BMC quotes the request for %s in its error", async (_, path) => {
    const bmc = await startBmc();
    bmc.faults.push(({ method, path: asked, body, headers }) => {
      const Message = `Cannot do ${method} with ${JSON.stringify({ body, token: headers["x-auth-token"] })}`;
      return asked.includes(path)
        ? { status: 500, body: { error: { "@Message.ExtendedInfo": [{ Message }] } } }
        : undefined;
    });
    const error = await failure((await connect(bmc)).identify());
    const told = JSON.stringify([error.message, error.facts]);
    expect(error.message).toContain("[redacted]");
    for (const secret of ["secret-of-the-fake", ...bmc.tokens]) expect(told).not.toContain(secret);
  });

  it("says that a silent address cannot be reached", async () => {
    const bmc = await startBmc();
    await bmc.stop();
    const error = await failure((await connect({ ...bmc, url: "https://127.0.0.1:1" } as typeof bmc)).identify());
    expect(error.code).toBe("unreachable");
  });
});

describe("identity", () => {
  it("accepts the UUID in the other byte order", async () => {
    const bmc = await startBmc((b) => {
      b.system.UUID = "44454C4C-4200-1035-8052-B4C04F4E3132";
    });
    await (await connect(bmc)).identify();
  });

  it("refuses another machine and names both, having written nothing", async () => {
    const bmc = await startBmc((b) => {
      b.system.UUID = "00112233-4455-6677-8899-aabbccddeeff";
    });
    const control = await connect(bmc);
    const error = await failure(control.arm({ via: "pxe" }));
    expect(error.code).toBe("refused");
    expect(error.message).toContain(UUID);
    expect(error.message).toContain("00112233-4455-6677-8899-aabbccddeeff");
    expect(bmc.count("PATCH", /./)).toBe(0);
  });

  it.each([
    null,
    "00000000-0000-0000-0000-000000000000",
    "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
    "03000200-0400-0500-0006-000700080009",
  ])("takes a MAC address for proof where the UUID is %s", async (uuid) => {
    const bmc = await startBmc((b) => {
      b.system.UUID = uuid;
    });
    expect((await (await connect(bmc)).identify()).systemUuid).toBeNull();
    bmc.nics = [{ MACAddress: "52:54:00:99:99:99" }];
    const error = await failure((await connect(bmc)).identify());
    expect(error.code).toBe("refused");
    expect(error.message).toContain(MAC);
  });

  it("notices that another machine answers at the address later on", async () => {
    const bmc = await startBmc();
    const control = await connect(bmc);
    await control.power();
    bmc.system.UUID = "00112233-4455-6677-8899-aabbccddeeff";
    expect((await failure(control.power())).code).toBe("refused");
  });

  it("lists the systems where the document must name one of several", async () => {
    const bmc = await startBmc((b) => {
      b.faults.push(({ path }) =>
        path.startsWith("/redfish/v1/Systems")
          ? {
              status: 200,
              body: { Members: [{ "@odata.id": "/redfish/v1/Systems/A" }, { "@odata.id": "/redfish/v1/Systems/B" }] },
            }
          : undefined,
      );
    });
    const error = await failure((await connect(bmc)).identify());
    expect(error.code).toBe("invalid");
    expect(error.message).toContain("A, B");
  });

  it("says which systems there are when the document names none of them", async () => {
    const bmc = await startBmc();
    const tls = { fingerprint256: bmc.fingerprint };
    const control = [{ redfish: { url: bmc.url, system: "7", credentials: { env: "BMC" }, tls } }];
    const error = await failure((await controlOf(targetOf(bmc.url, tls, { control }))).identify());
    expect(error.code).toBe("invalid");
    expect(error.message).toContain('no system "7", but 1');
  });
});

describe("sessions", () => {
  it("logs in again once when a working session has expired", async () => {
    const bmc = await startBmc();
    const control = await connect(bmc);
    await control.identify();
    bmc.tokens.clear();
    expect(await control.power()).toBe("On");
    bmc.tokens.clear();
    await control.reset("ForceOff");
    expect(bmc.logins).toBe(3);
    expect(bmc.power).toBe("Off");
  });

  it("does not log in over and over where no session is accepted", async () => {
    const bmc = await startBmc((b) => {
      b.faults.push(({ path }) => (path.startsWith("/redfish/v1/Systems") ? { status: 401 } : undefined));
    });
    expect((await failure((await connect(bmc)).identify())).code).toBe("unauthorized");
    expect(bmc.logins).toBe(1);
  });

  it("logs out, and never throws when it cannot", async () => {
    const bmc = await startBmc();
    const control = await connect(bmc);
    await control.identify();
    await control.close();
    expect(bmc.count("DELETE", /Sessions\/1$/)).toBe(1);
    const dropped = await connect(bmc);
    await dropped.identify();
    await bmc.stop();
    await dropped.close();
  });

  it("takes the session's id from Location where the login's answer has no body", async () => {
    const bmc = await startBmc((b) => {
      b.tokens.add("bare");
      b.faults.push(({ method, path }) =>
        method === "POST" && path.endsWith("/Sessions")
          ? { status: 201, headers: { "x-auth-token": "bare", location: "/redfish/v1/SessionService/Sessions/77" } }
          : undefined,
      );
    });
    const control = await connect(bmc);
    await control.identify();
    await control.close();
    expect(bmc.count("DELETE", /Sessions\/77$/)).toBe(1);
  });
});

describe("secrets", () => {
  it("are in no log line and on no output, whatever becomes of a session", async () => {
    const lines: string[] = [];
    const log = {
      debug: (facts: object, message: string) => void lines.push(JSON.stringify(facts) + message),
      warn: (facts: object, message: string) => void lines.push(JSON.stringify(facts) + message),
    };
    const write = vi.spyOn(process.stdout, "write").mockImplementation((text) => lines.push(String(text)) > 0);
    const bmc = await startBmc((b) => {
      b.faults.push(({ path, body }) =>
        path.endsWith("/SecureBoot") ? { status: 500, body: { error: { message: "no", body } } } : undefined,
      );
    });
    const control = await connect(bmc, {}, { log });
    await failure(control.readState());
    await control.arm({ via: "pxe" });
    await control.close();
    bmc.password = "another";
    await failure((await connect(bmc, {}, { log })).identify());
    write.mockRestore();
    expect(lines.length).toBeGreaterThan(5);
    expect(lines.join("\n")).not.toMatch(/secret-of-the-fake|token-\d/);
  });
});

describe("a service that misbehaves", () => {
  it.each([
    ["another origin", "https://evil.example/redfish/v1/Systems/1/BootOptions"],
    ["another scheme's authority", "//evil.example/x"],
    ["a user in it", "https://user@127.0.0.1/x"],
  ])("is not followed to a link with %s", async (_what, link) => {
    const bmc = await startBmc((b) => {
      b.boot.BootOptions = { "@odata.id": link };
    });
    const { bootOrder } = await (await connect(bmc)).readState();
    expect(bootOrder).toEqual({ unreadable: expect.stringContaining("not on this BMC") });
  });

  it("is not followed to another host by a redirect, nor at all with a write", async () => {
    const bmc = await startBmc((b) => {
      b.faults.push(({ path }) =>
        path.endsWith("/SecureBoot") ? { status: 302, headers: { location: "https://evil.example/" } } : undefined,
      );
    });
    expect((await (await connect(bmc)).readState()).secureBoot).toEqual({
      unreadable: expect.stringContaining("not on this BMC"),
    });
    bmc.faults.unshift(({ method }) =>
      method === "PATCH" ? { status: 307, headers: { location: "/redfish/v1/Systems/2" } } : undefined,
    );
    expect((await failure((await connect(bmc)).arm({ via: "pxe" }))).message).toContain("redirects PATCH");
    expect(bmc.count("PATCH", /./)).toBe(1);
  });

  it("may redirect a read within itself", async () => {
    const bmc = await startBmc((b) => {
      b.faults.push(({ path }) =>
        path === "/redfish/v1/Systems/1" ? { status: 308, headers: { location: "/redfish/v1/Systems/1/" } } : undefined,
      );
      b.faults.push(({ path }) =>
        path === "/redfish/v1/Systems/1/"
          ? { status: 200, body: { ...b.system, PowerState: "On", Boot: b.boot } }
          : undefined,
      );
    });
    expect(await (await connect(bmc)).power()).toBe("On");
  });

  it("is cut off when its answer is huge", async () => {
    const bmc = await startBmc((b) => {
      b.faults.push(({ path }) =>
        path.endsWith("/SecureBoot") ? { status: 200, raw: `{"a":"${"x".repeat(5 * 1024 * 1024)}"}` } : undefined,
      );
    });
    expect((await (await connect(bmc)).readState()).secureBoot).toEqual({
      unreadable: expect.stringContaining("more than Pitstop reads"),
    });
  });

  it("is refused when its answer nests without end", async () => {
    const bmc = await startBmc((b) => {
      b.faults.push(({ path }) =>
        path.endsWith("/SecureBoot") ? { status: 200, raw: '{"a":'.repeat(100_000) } : undefined,
      );
    });
    expect((await (await connect(bmc)).readState()).secureBoot).toEqual({
      unreadable: expect.stringContaining("nests deeper"),
    });
  });

  it("is asked again after 503 when it says so", async () => {
    const slept: number[] = [];
    const bmc = await startBmc((b) => {
      let left = 2;
      b.faults.push(({ path }) =>
        path === "/redfish/v1/Systems/1" && left-- > 0 ? { status: 503, headers: { "retry-after": "600" } } : undefined,
      );
    });
    const control = await connect(bmc, {}, { sleep: async (ms) => void slept.push(ms) });
    expect(await control.power()).toBe("On");
    expect(slept).toEqual([10_000, 10_000]);
  });

  it("is retryable when it answers with a page instead of Redfish", async () => {
    const bmc = await startBmc((b) => {
      b.faults.push(({ path }) =>
        path.startsWith("/redfish/v1/Systems") ? { status: 200, raw: "<html>starting</html>" } : undefined,
      );
    });
    expect((await failure((await connect(bmc)).identify())).code).toBe("unreachable");
  });

  it("is read again when it closes the connection on a read", async () => {
    const bmc = await startBmc((b) => {
      let left = 1;
      b.faults.push(({ path }) => (path === "/redfish/v1/Systems/1" && left-- > 0 ? "drop" : undefined));
    });
    expect(await (await connect(bmc)).power()).toBe("On");
  });
});

describe("state", () => {
  it("is read whole, in few requests", async () => {
    const bmc = await startBmc();
    const control = await connect(bmc);
    await control.identify();
    const state = await control.readState();
    expect(state).toMatchObject({
      power: "On",
      override: { enabled: "Disabled", target: "None", mode: "UEFI", httpBootUri: null },
      media: [{ slot: "/redfish/v1/Systems/1/VirtualMedia/Cd", inserted: false, image: null, verifyCertificate: null }],
      secureBoot: false,
    });
    expect(known(state.bootOrder)[1]).toEqual({
      reference: "Boot0002",
      name: "Disk",
      devicePath: "PciRoot(0x0)/Pci(0x1,0x0)",
    });
    // Root, login, system; secure boot, boot options, media; and the power.
    expect(control.usage()).toEqual({ total: 7, powerPolls: 1, writes: 0 });
  });

  it("is read member by member where the service cannot expand", async () => {
    const bmc = await startBmc((b) => {
      b.root.ProtocolFeaturesSupported = {};
    });
    const state = await (await connect(bmc)).readState();
    expect(known(state.bootOrder).map((entry) => entry.name)).toEqual(["PXE", "Disk", "Shell"]);
    expect(state.media).toHaveLength(1);
  });

  it("is read member by member where the service only claims to expand", async () => {
    const bmc = await startBmc((b) => {
      b.faults.push(({ path }) => (path.includes("$expand") ? { status: 501 } : undefined));
    });
    const state = await (await connect(bmc)).readState();
    expect(known(state.bootOrder).map((entry) => entry.name)).toEqual(["PXE", "Disk", "Shell"]);
  });

  it("is read afresh after a wait", async () => {
    let now = 0;
    const bmc = await startBmc();
    const control = await connect(bmc, {}, { now: () => now });
    expect((await control.readState()).power).toBe("On");
    bmc.power = "Off";
    now += 1_000;
    expect((await control.readState()).power).toBe("Off");
  });

  it("takes a machine on its way down for on", async () => {
    const bmc = await startBmc((b) => {
      b.power = "PoweringOff";
    });
    expect(await (await connect(bmc)).power()).toBe("On");
  });

  it("counts power polls apart", async () => {
    const bmc = await startBmc();
    const control = await connect(bmc);
    await control.identify();
    await control.power();
    await control.power();
    expect(control.usage()).toEqual({ total: 5, powerPolls: 2, writes: 0 });
  });
});

describe("reset", () => {
  const allow = (values: string[] | null) => (b: Awaited<ReturnType<typeof startBmc>>) => {
    const target = "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset";
    const info = { "@Redfish.ActionInfo": "/redfish/v1/Systems/1/ResetActionInfo" };
    const annotated = { "ResetType@Redfish.AllowableValues": values };
    b.system.Actions = { "#ComputerSystem.Reset": values === null ? { target, ...info } : { target, ...annotated } };
  };

  it("presses the power button where the BMC has no graceful shutdown", async () => {
    const bmc = await startBmc(allow(["On", "ForceOff", "PushPowerButton"]));
    await (await connect(bmc)).reset("GracefulShutdown");
    expect(bmc.seen.at(-1)?.body).toEqual({ ResetType: "PushPowerButton" });
  });

  it("refuses in one sentence what the BMC cannot do", async () => {
    const bmc = await startBmc(allow(["On", "ForceOff"]));
    const error = await failure((await connect(bmc)).reset("GracefulShutdown"));
    expect(error.code).toBe("refused");
    expect(error.message).toContain("On, ForceOff");
    expect(bmc.count("POST", /Reset$/)).toBe(0);
  });

  it("finds what is allowed in ActionInfo, and asks for it once", async () => {
    const bmc = await startBmc(allow(null));
    bmc.faults.push(({ path }) =>
      path.endsWith("ResetActionInfo")
        ? {
            status: 200,
            body: { Parameters: [{ Name: "ResetType", AllowableValues: ["ForceOff", "PushPowerButton"] }] },
          }
        : undefined,
    );
    const control = await connect(bmc);
    await control.reset("GracefulShutdown");
    await control.reset("ForceOff");
    expect(bmc.count("GET", /ResetActionInfo/)).toBe(1);
  });

  it("is not repeated when its answer is lost", async () => {
    const bmc = await startBmc((b) => {
      b.faults.push(({ path }) => (path.endsWith(".Reset") ? "drop" : undefined));
    });
    expect((await failure((await connect(bmc)).reset("On"))).code).toBe("unreachable");
    expect(bmc.count("POST", /Reset$/)).toBe(1);
  });
});
