// biome-ignore-all lint/suspicious/noTemplateCurlyInString: iPXE's settings look like placeholders.
import { expect, test } from "vitest";
import { type Download, Ipxe, type IpxeEnd } from "../../src/lab/process/ipxe/interpreter.js";

const MAC = "52:54:00:12:34:01";

/** Runs the first of these files; the others are what it may download. */
async function run(files: Record<string, string>): Promise<{ end: IpxeEnd; trace: string[] }> {
  const trace: string[] = [];
  const ipxe = new Ipxe({
    settings: { mac: MAC, uuid: "4c4c4544-0042-4810-8051-b4c04f4e4d31", platform: "pcbios", serial: "a&b=c" },
    signal: new AbortController().signal,
    trace: (line) => trace.push(line),
    download: async (url): Promise<Download> => {
      const content = files[url.replace("http://site", "")];
      if (content === undefined) throw new Error("HTTP 404");
      return { url, bytes: content.length, sha256: "", content: Buffer.from(content) };
    },
  });
  return { end: await ipxe.autoboot("http://site/boot.ipxe"), trace };
}
const script = (...lines: string[]) => ["#!ipxe", ...lines].join("\n");
const endOf = async (...lines: string[]) => (await run({ "/boot.ipxe": script(...lines), "/k": "kernel" })).end;

test("settings are expanded with their types; the card's prefix does not matter", async () => {
  const { trace } = await run({
    "/boot.ipxe": script("echo ${mac} ${netX/mac:hexhyp} ${net0/mac:hexraw} [${nothing}] ${serial:uristring}"),
  });
  expect(trace).toEqual([`echo ${MAC} 52-54-00-12-34-01 525400123401 [] a%26b%3Dc`]);
});

test("a script is chained relative to where it was found, and the exit of the last one counts", async () => {
  const { end, trace } = await run({
    "/boot.ipxe": script("chain --replace --autofree x/y.ipxe?mac=${mac:hexhyp} ||", "exit 7"),
    "/x/y.ipxe?mac=52-54-00-12-34-01": script("chain z.ipxe", "exit 3"),
    "/x/z.ipxe": script("exit 0"),
  });
  expect(end).toMatchObject({ kind: "exit", status: 3 });
  expect(trace.at(-1)).toBe("exit 3");
});

test("|| runs what follows after a failure only, && after a success only; a failure without them ends the script", async () => {
  expect(await endOf("iseq a b ||", "exit 4")).toMatchObject({ status: 4 });
  expect(await endOf("iseq a b || exit 5", "exit 4")).toMatchObject({ status: 5 });
  expect(await endOf("iseq a a || exit 5", "exit 4")).toMatchObject({ status: 4 });
  expect(await endOf("iseq a a && exit 6 ||", "exit 4")).toMatchObject({ status: 6 });
  expect(await endOf("iseq a b && exit 6 ||", "exit 4")).toMatchObject({ status: 4 });
  expect(await endOf("iseq a b", "exit 4")).toMatchObject({ status: 1 });
});

test("goto jumps to a label; a missing one is a failure", async () => {
  expect(await endOf("iseq ${platform} efi || goto bios", "exit 1", ":bios", "exit")).toMatchObject({ status: 0 });
  expect(await endOf("goto nowhere", "exit 4")).toMatchObject({ status: 1, why: "there is no label nowhere" });
});

test("kernel, initrds and arguments are handed over by boot", async () => {
  const end = await endOf("kernel /k a=1 ${mac}", "initrd --name two /k x", "initrd /k", "imgargs k b=2", "boot");
  expect(end).toMatchObject({
    kind: "boot",
    kernel: { name: "k", args: ["b=2"], url: "http://site/k" },
    initrds: [{ name: "two" }, { name: "k" }],
  });
});

test("a file that is not there sends the script home", async () => {
  const end = await endOf("kernel /missing || goto home", "boot ||", ":home", "exit 1");
  expect(end).toMatchObject({ kind: "exit", status: 1, why: "http://site/missing: HTTP 404" });
});

test.each([
  ["shell", "stuck"],
  ["prompt", "stuck"],
  ["sanboot --no-describe --drive 0x80", "sanboot"],
  ["reboot", "reboot"],
  ["poweroff", "poweroff"],
  [":loop\ngoto loop", "stuck"],
  [":loop\necho x\ngoto loop", "stuck"],
  ["teleport", "exit"],
])("%j ends as %s", async (line, kind) => {
  expect((await endOf(line)).kind).toBe(kind);
});

test("what is not a script, and scripts chained without an end, are failures", async () => {
  expect((await run({ "/boot.ipxe": "<html>" })).end).toMatchObject({ kind: "exit", status: 1 });
  expect(await endOf("chain /boot.ipxe")).toMatchObject({ kind: "exit", status: 1 });
});
