import { createServer as createPlain } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import type { FakeBmc } from "./fake-bmc.js";
import { certificate } from "./fake-bmc.js";
import { connect, controlOf, failure, startBmc, targetOf } from "./help.js";

const BASIC = `Basic ${Buffer.from("admin:secret-of-the-fake").toString("base64")}`;

/** Lets in whoever brings user and password with each request, and nobody by token. */
const takesBasic = (b: FakeBmc, login: (b: FakeBmc) => void = () => undefined) => {
  login(b);
  b.faults.push(({ path, headers }) => {
    if (path === "/redfish/v1/" || path.endsWith("/Sessions")) return undefined;
    if (headers.authorization !== BASIC) return { status: 401 };
    b.tokens.add("undefined");
    return undefined;
  });
};
const onLogin = (answer: ReturnType<FakeBmc["faults"][number]>) => (b: FakeBmc) =>
  b.faults.push(({ method, path }) => (method === "POST" && path.endsWith("/Sessions") ? answer : undefined));

describe("a service that gives no session", () => {
  it.each<[string, (b: FakeBmc) => void]>([
    ["because it has none", (b) => delete b.root.Links],
    ["because there is nothing at their address", onLogin({ status: 404 })],
    ["because it takes no POST there", onLogin({ status: 405 })],
    [
      "because they are turned off",
      onLogin({
        status: 403,
        body: { error: { "@Message.ExtendedInfo": [{ MessageId: "Base.1.13.ServiceDisabled" }] } },
      }),
    ],
    ["whose token has another header", onLogin({ status: 201, body: { Id: "1" }, headers: { "x-other-token": "t" } })],
    ["whose token is a cookie", onLogin({ status: 201, body: { Id: "1" }, headers: { "set-cookie": "session=t" } })],
    [
      "whose token opens nothing",
      onLogin({
        status: 201,
        body: { Id: "1" },
        headers: { "x-auth-token": "t", location: "/redfish/v1/SessionService/Sessions/1" },
      }),
    ],
  ])("is asked by HTTP Basic, %s", async (_why, login) => {
    const bmc = await startBmc((b) => takesBasic(b, login));
    const control = await connect(bmc);
    expect(await control.power()).toBe("On");
    await control.arm({ via: "pxe" });
    await control.reset("ForceOff");
    expect(bmc.power).toBe("Off");
    expect(bmc.count("POST", /\/Sessions$/)).toBeLessThanOrEqual(1);
    expect(bmc.seen.filter(({ path }) => path.startsWith("/redfish/v1/Systems")).length).toBeGreaterThan(2);
  });

  it("gets no password where nobody vouches for it", async () => {
    const bmc = await startBmc((b) => takesBasic(b, (one) => delete one.root.Links));
    const error = await failure((await controlOf(targetOf(bmc.url, { insecure: true }))).identify());
    expect(error.code).toBe("refused");
    expect(error.message).toContain("tls.fingerprint256");
    expect(bmc.seen.every(({ headers }) => headers.authorization === undefined)).toBe(true);
  });

  it("gets the password once where that is wrong", async () => {
    const bmc = await startBmc((b) => {
      delete b.root.Links;
      b.faults.push(({ path }) => (path === "/redfish/v1/" ? undefined : { status: 401 }));
    });
    expect((await failure((await connect(bmc)).identify())).code).toBe("unauthorized");
    expect(bmc.seen.filter(({ headers }) => headers.authorization === BASIC)).toHaveLength(1);
  });

  it("is found at its SessionService where the root links no sessions", async () => {
    const bmc = await startBmc((b) => {
      b.root.Links = {};
      b.root.SessionService = { "@odata.id": "/redfish/v1/SessionService/" };
    });
    await (await connect(bmc)).identify();
    expect(bmc.logins).toBe(1);
  });
});

describe("an answer that cannot be read", () => {
  it("is told as compressed where nobody asked for that", async () => {
    const bmc = await startBmc((b) => {
      b.faults.push(({ path }) =>
        path.endsWith("/Sessions") || path === "/redfish/v1/"
          ? undefined
          : { status: 200, raw: gzipSync("{}").toString("latin1"), headers: { "content-encoding": "gzip" } },
      );
    });
    const error = await failure((await connect(bmc)).identify());
    expect(error.code).toBe("refused");
    expect(error.message).toContain("compressed (gzip)");
    expect(bmc.seen.at(-1)?.headers["accept-encoding"]).toBe("identity");
  });

  it("is told as old TLS", async () => {
    const server = createServer({
      ...(await certificate()),
      ...{ minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" },
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const control = await controlOf(targetOf(url, { fingerprint256: Array(32).fill("AB").join(":") }));
      const error = await failure(control.identify());
      expect(error.code).toBe("refused");
      expect(error.message).toMatch(/no TLS 1\.2.*firmware/);
    } finally {
      server.close();
    }
  });

  it("is told as no TLS at all, with the port to correct", async () => {
    const server = createPlain((_, response) => response.end("{}"));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const error = await failure(
        (await controlOf(targetOf(url, { fingerprint256: Array(32).fill("AB").join(":") }))).identify(),
      );
      expect(error.message).toContain("control.redfish.url");
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});
