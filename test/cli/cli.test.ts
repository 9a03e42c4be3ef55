import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { exitOfRecord } from "../../src/cli/exit.js";
import { processIo } from "../../src/cli/main.js";
import { lineProgress } from "../../src/cli/progress.js";
import { PitstopError } from "../../src/domain/errors.js";
import type { Phase } from "../../src/domain/ids.js";
import { statusOf } from "../api/fake-session-service.js";
import { type Rig, startRig, TOKEN } from "../api/running.js";
import { action, image, record, target } from "../catalogue/samples.js";
import { type Command, commandFor } from "./command.js";

let rig: Rig;
let pitstop: Command;
beforeAll(async () => {
  rig = await startRig();
  pitstop = commandFor(rig.api.url);
});
afterAll(async () => {
  await rig.stop();
  rmSync(pitstop.cwd, { recursive: true, force: true });
});
beforeEach(() => {
  rig.sessions.asked.length = 0;
  rig.sessions.statuses.clear();
  rig.sessions.failure = null;
});

const me = userInfo().username;
const file = (name: string, text: string): string => {
  writeFileSync(join(pitstop.cwd, name), text);
  return name;
};
const ACTION = "kind: Action\nname: look\nmode: passive\nlabels: {team: metal}\n";

describe("apply, get and delete", () => {
  it("apply files and standard input, and say what became of each document", async () => {
    const one = file("one.yaml", `${ACTION}---\nkind: Action\nname: other\nmode: passive\n`);
    expect(await pitstop(["apply", "-f", one])).toEqual({
      exit: 0,
      out: "action look created\naction other created\n",
      err: "",
    });
    expect(await pitstop(["apply", "-f", one, "-f", "-"], { stdin: ACTION.replace("look", "third") })).toMatchObject({
      exit: 0,
      out: "action look unchanged\naction other unchanged\naction third created\n",
    });
    expect((await pitstop(["apply", "-f", one, "--dry-run"])).out).toBe("action look valid\naction other valid\n");
    expect(JSON.parse((await pitstop(["apply", "-f", one, "--json"])).out)).toContainEqual({
      kind: "Action",
      name: "look",
      result: "unchanged",
    });
  });

  it("apply nothing of several files when one is wrong", async () => {
    const good = file("good.yaml", ACTION.replace("look", "never"));
    const bad = file("bad.yaml", "kind: Action\nname: x\nmod: passive\n");
    expect(await pitstop(["apply", "-f", good, "-f", bad])).toEqual({
      exit: 2,
      out: "",
      err: "bad.yaml:1:1: mode: this field is missing; it is active or passive (and 1 more in this document).\n",
    });
    expect(await pitstop(["get", "action", "never"])).toEqual({
      exit: 2,
      out: "",
      err: 'There is no action never; "pitstop get actions" lists them.\n',
    });
  });

  it("say which file cannot be read", async () => {
    expect(await pitstop(["apply", "-f", "nowhere.yaml"])).toEqual({
      exit: 2,
      out: "",
      err: "The file nowhere.yaml cannot be read: it does not exist; correct the path.\n",
    });
  });

  it("list as an aligned table, or for programs", async () => {
    await rig.catalogue.apply(target("t1", 1));
    await rig.catalogue.apply(target("a-longer-name", 200, { labels: { rack: "r2" } }));
    expect((await pitstop(["get", "targets"])).out).toBe(
      [
        "NAME           SITE     FIRMWARE  VIA  LABELS",
        "a-longer-name  default  uefi      pxe  rack=r2",
        "t1             default  uefi      pxe  rack=r1",
        "",
      ].join("\n"),
    );
    expect((await pitstop(["get", "Target", "-l", "rack=r2"])).out).toMatch(/^NAME[^\n]*\na-longer-name[^\n]*\n$/);
    expect(JSON.parse((await pitstop(["get", "targets", "-o", "json"])).out)).toHaveLength(2);
    const yaml = (await pitstop(["get", "target", "t1"])).out;
    expect(yaml).toMatch(/^kind: Target\nname: t1\n/);
    expect((await pitstop(["apply", "-f", "-"], { stdin: yaml })).out).toBe("target t1 unchanged\n");
    const all = (await pitstop(["get", "targets", "-o", "yaml"])).out;
    expect((await pitstop(["apply", "-f", "-"], { stdin: all })).out).toBe(
      "target a-longer-name unchanged\ntarget t1 unchanged\n",
    );
    expect((await pitstop(["get", "images"])).out).toBe("no images\n");
  });

  it("use colours only where a person watches", async () => {
    expect((await pitstop(["get", "targets"], { tty: true })).out).toContain("\u001b[2mNAME");
    expect((await pitstop(["get", "targets"])).out).not.toContain("\u001b");
  });

  it("delete", async () => {
    expect(await pitstop(["delete", "action", "third"])).toEqual({ exit: 0, out: "action third deleted\n", err: "" });
    expect(await pitstop(["delete", "actions", "third"])).toEqual({
      exit: 2,
      out: "",
      err: 'There is no action third to delete; "pitstop get actions" lists them.\n',
    });
    expect(await pitstop(["delete", "session", "x"])).toMatchObject({
      exit: 2,
      err: "A session is not deleted; end it with pitstop session abort.\n",
    });
    expect(await pitstop(["get", "nodes"])).toMatchObject({
      exit: 2,
      err: 'There is no kind "nodes"; the kinds are targets, images, actions and sessions.\n',
    });
  });
});

describe("run", () => {
  beforeEach(async () => {
    await rig.catalogue.apply(target("t1", 1));
    await rig.catalogue.apply(target("t2", 2));
    await rig.catalogue.apply(action("look"));
  });

  it("starts a session in the name of the user, and says how to follow it", async () => {
    const said = await pitstop(["run", "t1", "--action", "look", "--param", "depth=2", "--param", "expr=a=b"]);
    expect(said).toEqual({
      exit: 0,
      out: expect.stringMatching(/^t1: session session-\d+ started; follow it with "pitstop session show t1"\.\n$/),
      err: "",
    });
    expect(rig.sessions.asked).toEqual([
      [
        "start",
        { target: "t1", action: "look", params: { depth: "2", expr: "a=b" }, requestedBy: me, restoreOnly: false },
      ],
    ]);
  });

  it.each([
    [["run", "t1"], 'Name what to do: --action NAME; "pitstop get actions" lists the actions.'],
    [["run", "nope", "-a", "look"], 'There is no target nope; "pitstop get targets" lists them.'],
    [["run", "t1", "-a", "nope"], 'There is no action nope; "pitstop get actions" lists them.'],
    [["run", "t1", "-a", "look", "--param", "x=1"], 'look has no parameter "x"; it has depth, expr.'],
    [["run", "t1", "-a", "look", "--param", "x"], '"x" is not key=value; write for example --param depth=2.'],
    [["run", "t1", "-a", "look", "--param", "X=1"], "params.X: a parameter is lower-case letters, digits and '_'."],
    [
      ["run", "T 1", "-a", "look"],
      "target: a name is lower-case letters, digits, '-' and '.', and starts and ends with a letter or digit.",
    ],
  ])("refuses %j in one sentence and starts nothing", async (argv, sentence) => {
    expect(await pitstop(argv)).toEqual({ exit: 2, out: "", err: `${sentence}\n` });
    expect(rig.sessions.asked).toEqual([]);
  });

  it("says who holds a busy target", async () => {
    rig.sessions.statuses.set("t1", statusOf("other", "t1", "look"));
    expect(await pitstop(["run", "t1", "-a", "look"])).toEqual({
      exit: 2,
      out: "",
      err: "Target t1 has session other; wait for it, or abort it.\n",
    });
  });

  it("starts several, each by itself", async () => {
    rig.sessions.statuses.set("t1", statusOf("other", "t1", "look"));
    const said = await pitstop(["run", "t1", "t2", "-a", "look", "--json"]);
    expect(said).toMatchObject({ exit: 2, err: "Target t1 has session other; wait for it, or abort it.\n" });
    expect(JSON.parse(said.out)).toEqual([{ target: "t2", session: expect.any(String), workflowId: "maintenance/t2" }]);
  });

  /** Plays the session that `run` starts, once the command listens. */
  async function play(name: string, ending: "restored" | "failed" | "stranded" | "released") {
    const { looks } = rig.sessions;
    await expect.poll(async () => await watchers(rig)).toBeGreaterThan(0);
    // Its first look is over: one that came late would find the end, and pass over what is told before it.
    await expect.poll(() => rig.sessions.looks).toBeGreaterThan(looks);
    const session = rig.sessions.statuses.get(name)?.session ?? "";
    const about = { session, target: name };
    const none = { outcome: null, failure: null, stranded: null };
    const t = (s: number) => `2026-01-01T00:00:0${s}.000Z`;
    const planning = { name: "planning" as const, startedAt: t(0), endedAt: t(1) };
    const working = { name: "working" as const, startedAt: t(1), endedAt: null };
    // The first is told late and the second twice, as a busy server may.
    for (let i = 0; i < 2; i++) {
      rig.events.publish({ type: "session.phase", ...about, phase: "working", phases: [planning, working], ...none });
    }
    rig.events.publish({ type: "session.phase", ...about, phase: "planning", phases: [planning], ...none });
    rig.events.publish({
      type: "session.progress",
      ...about,
      what: "task",
      task: "look",
      message: "reading disks",
      percent: 5,
    });
    rig.events.publish({
      type: "session.progress",
      ...about,
      what: "task",
      task: "look",
      message: "reading disks",
      percent: 50,
    });
    const over = ending !== "stranded";
    const failure = ending === "failed" ? { code: "refused", message: "The task look failed." } : null;
    const stranded = ending === "stranded" ? { code: "unreachable", message: "The BMC does not answer." } : null;
    const phase = ending === "failed" ? "restored" : ending;
    await rig.catalogue.putRecord(
      record(session, name, {
        phase,
        ending: phase,
        outcome: ending === "failed" ? "failed" : "succeeded",
        endedAt: over ? t(9) : null,
        failure,
        stranded,
        released: ending === "released" ? { by: "ada", reason: "seen" } : null,
        home: { proved: over, strength: "strong", before: [], checks: [], reason: null },
        phases: [
          { name: "planning", startedAt: t(0), endedAt: t(1) },
          { name: "working", startedAt: t(1), endedAt: t(9) },
          { name: phase, startedAt: t(9), endedAt: null },
        ],
      }),
    );
    rig.sessions.statuses.delete(name);
    if (over)
      rig.events.publish({ type: "session.ended", ...about, outcome: "succeeded", ending: phase, untouched: false });
    else
      rig.events.publish({
        type: "session.phase",
        ...about,
        phase: "stranded",
        phases: [],
        outcome: "succeeded",
        failure,
        stranded,
      });
  }

  it("waits, one line a phase, until the target is home", async () => {
    const [said] = await Promise.all([pitstop(["run", "t1", "-a", "look", "--wait"]), play("t1", "restored")]);
    expect(said.err).toBe("");
    expect(said.exit).toBe(0);
    expect(said.out.replaceAll(/\d\d:\d\d:\d\d/g, "TIME").replace(/session-\d+/, "ID")).toBe(
      [
        "TIME t1 session ID",
        "TIME planning",
        "TIME working",
        "TIME   look: reading disks",
        "TIME restored",
        "TIME look on t1: succeeded; the target is home (proved) after 9.0s.",
        "",
      ]
        .join("\n")
        .replace("look on", "inventory on"),
    );
  });

  it.each([
    ["failed", 1, "inventory on t1: failed (The task look failed); the target is home (proved) after 9.0s."],
    [
      "stranded",
      3,
      "inventory on t1: stranded. The BMC does not answer. Then: pitstop session retry t1, or release it.",
    ],
    ["released", 3, "inventory on t1: succeeded; released by ada without proof of home after 9.0s."],
  ] as const)("ends a %s session with exit code %i", async (ending, exit, sentence) => {
    const [said] = await Promise.all([pitstop(["run", "t1", "-a", "look", "--wait"]), play("t1", ending)]);
    expect(said).toMatchObject({ exit, err: `${sentence}\n` });
    expect(said.out).toContain(sentence);
  });

  it("ends with exit code 2 where the plan was refused, and 1 where the target was looked at", () => {
    const failed = { ending: "restored", outcome: "failed", untouched: true } as const;
    const empty = { before: null, after: null, differences: [], added: [] };
    const refused = record("r1", "t1", { ...failed, restore: empty, failure: { code: "invalid", message: "No." } });
    expect(exitOfRecord(refused)).toBe(2);
    expect(exitOfRecord({ ...refused, failure: { code: "unauthorized", message: "No." } })).toBe(1);
    expect(exitOfRecord({ ...refused, restore: record("r2", "t1").restore })).toBe(1);
  });

  it("ends with exit code 0 where a target was only to be brought home, and is", () => {
    const home = { ending: "restored", outcome: null, action: null } as const;
    expect(exitOfRecord(record("r1", "t1", home))).toBe(0);
    expect(exitOfRecord(record("r1", "t1", { ...home, failure: { code: "lost", message: "It was lost." } }))).toBe(1);
    expect(exitOfRecord(record("r1", "t1", { ...home, ending: null, phase: "stranded" }))).toBe(3);
  });

  it("tells each phase once, also one that only the record knows of", () => {
    const lines: string[] = [];
    const progress = lineProgress({ ...processIo(), out: (text) => void lines.push(text) });
    const started = { target: "t1", session: "s1", workflowId: "maintenance/t1" };
    const phases = (names: string) =>
      names.split(" ").map((name) => ({ name: name as Phase, startedAt: "2026-01-01T00:00:00.000Z", endedAt: null }));
    const tell = (names: string) => progress.changed({ started, record: null, phases: phases(names), progress: null });
    tell("planning arming rebooting");
    tell("planning arming rebooting arming rebooting verifying");
    tell("planning arming rebooting arming rebooting working verifying restored");
    expect(lines.map((line) => line.trim().split(" ").at(-1))).toEqual(
      "planning arming rebooting arming rebooting verifying working restored".split(" "),
    );
  });

  it("prints only the record with --json, a list for several targets", async () => {
    const [one] = await Promise.all([pitstop(["run", "t1", "-a", "look", "--wait", "--json"]), play("t1", "restored")]);
    expect(JSON.parse(one.out)).toMatchObject({ target: "t1", ending: "restored" });
    const [two] = await Promise.all([
      pitstop(["run", "t1", "t2", "-a", "look", "--wait", "--json"]),
      play("t1", "restored").then(() => play("t2", "failed")),
    ]);
    expect(two.exit).toBe(1);
    // Standard output is for the program, and the person who reads its log wants a sentence all the same.
    expect(one.err).toBe("");
    expect(two.err).toBe("inventory on t2: failed (The task look failed); the target is home (proved) after 9.0s.\n");
    expect(
      JSON.parse(two.out)
        .map((r: { target: string }) => r.target)
        .sort(),
    ).toEqual(["t1", "t2"]);
  });

  it("repaints a list of phases for a person, and leaves the cursor as it was", async () => {
    const [said] = await Promise.all([
      pitstop(["run", "t1", "-a", "look", "--wait"], { tty: true }),
      play("t1", "restored"),
    ]);
    expect(said.exit).toBe(0);
    expect(said.out.startsWith("\u001b[?25l")).toBe(true);
    expect(said.out.endsWith("\u001b[?25h")).toBe(true);
    const lastFrame = said.out.slice(said.out.lastIndexOf("\r")).replaceAll(/\p{Cc}\[\??\d*[a-zA-Z]/gu, "");
    expect(lastFrame).toMatch(
      /t1 session session-\d+\n {2}✔ planning +\d\d:\d\d:\d\d +1\.0s\n {2}✔ working +\d\d:\d\d:\d\d +8\.0s\n {2}✔ inventory on t1: succeeded/,
    );
  });

  it("waits on while the server is started again", async () => {
    const second = await startRig();
    const port = Number(new URL(second.api.url).port);
    await second.catalogue.apply(target("t1", 1));
    await second.catalogue.apply(action("look"));
    const again = commandFor(second.api.url);
    const waiting = again(["run", "t1", "-a", "look", "--wait"]);
    await expect.poll(async () => await watchers(second)).toBe(1);
    const session = second.sessions.statuses.get("t1")?.session ?? "";
    await second.stop();
    const third = await startRig(port);
    await third.catalogue.putRecord(
      record(session, "t1", {
        phase: "restored",
        ending: "restored",
        outcome: "succeeded",
        endedAt: "2026-01-01T00:00:09.000Z",
      }),
    );
    const said = await waiting;
    expect(said.out).toContain("the server does not answer; waiting for it");
    expect(said).toMatchObject({ exit: 0, err: "" });
    await third.stop();
    rmSync(again.cwd, { recursive: true });
  });
});

async function watchers(at: Rig): Promise<number> {
  const text = await (await fetch(`${at.api.url}/metrics`)).text();
  return Number(/^pitstop_event_watchers (\d+)$/m.exec(text)?.[1]);
}

describe("session", () => {
  it("shows a record for a person, and whole for programs", async () => {
    const state = {
      readAt: "",
      control: "redfish",
      power: "On" as const,
      override: { enabled: "Disabled" as const, target: null, mode: null, httpBootUri: null },
      bootOrder: [],
      media: [],
      secureBoot: { absent: true as const },
    };
    await rig.catalogue.putRecord(
      record("show-1", "st", {
        endedAt: "2026-01-01T00:00:30.000Z",
        phase: "restored",
        ending: "restored",
        outcome: "failed",
        failure: { code: "refused", message: "The task \u001b[31mlook failed." },
        restore: { before: state, after: state, differences: [], added: ["HD(1)"] },
        home: { proved: true, strength: "strong", before: [], checks: [], reason: null },
        powerActions: [{ at: "2026-01-01T00:00:10.000Z", what: "ForceOff", why: "to the image", result: "done" }],
      }),
    );
    const { out, exit } = await pitstop(["session", "show", "st"]);
    expect(exit).toBe(0);
    expect(out).toMatch(/^session +show-1\ntarget +st\n/);
    expect(out).toContain("The task \\x1b[31mlook failed.");
    expect(out).toContain("as it was");
    expect(out).toContain("boot order: the firmware added HD(1)");
    expect(out).toContain("ForceOff");
    expect(JSON.parse((await pitstop(["session", "show", "show-1", "--json"])).out)).toMatchObject({
      session: "show-1",
    });
    expect((await pitstop(["get", "sessions", "--target", "st"])).out).toContain("show-1");
    expect(await pitstop(["session", "show", "nothing"])).toEqual({
      exit: 2,
      out: "",
      err: 'There is no session nothing, nor a target nothing with one; "pitstop get sessions" lists them.\n',
    });
  });

  it("prints the logs", async () => {
    const done = { status: "succeeded" as const, exitCode: 0, durationMs: 5, reason: null, findingSha256: null };
    const tasks = [
      { ...done, id: "1", name: "first", logSha256: rig.keepLog("one\n") },
      { ...done, id: "2", name: "second", logSha256: rig.keepLog("two\n") },
    ];
    await rig.catalogue.putRecord(record("log-1", "logt", { tasks, endedAt: "2026-01-01T00:00:30.000Z" }));
    expect((await pitstop(["session", "logs", "log-1"])).out).toBe(
      "==> first (succeeded) <==\none\n==> second (succeeded) <==\ntwo\n",
    );
    expect((await pitstop(["session", "logs", "logt", "second"])).out).toBe("two\n");
  });

  it("speaks to a session as the user", async () => {
    await rig.catalogue.putRecord(record("talk-1", "talk"));
    const ref = { target: "talk", session: "talk-1" };
    expect(await pitstop(["session", "abort", "talk", "--reason", "wrong rack"])).toEqual({
      exit: 0,
      out: "talk: the work ends; the target is brought home.\n",
      err: "",
    });
    expect(rig.sessions.asked.at(-1)).toEqual(["abort", ref, { by: me, reason: "wrong rack" }]);
    for (const verb of ["approve", "retry"]) {
      expect((await pitstop(["session", verb, "talk-1"])).exit).toBe(0);
      expect(rig.sessions.asked.at(-1)).toEqual([verb, ref, { by: me }]);
    }
    expect(await pitstop(["session", "release", "talk"])).toMatchObject({
      exit: 2,
      err: "Required option '--reason <text>' not specified\nSee pitstop session release --help.\n",
    });
    expect((await pitstop(["session", "release", "talk", "--reason", "seen"])).exit).toBe(0);
    expect(rig.sessions.asked.at(-1)).toEqual(["release", ref, { by: me, reason: "seen" }]);
    const task = file("task.yaml", "name: more\nscript: echo hi\n");
    expect((await pitstop(["session", "supply", "talk", "-f", task])).out).toBe("talk: task task-7 supplied.\n");
    expect(rig.sessions.asked.at(-1)).toEqual(["supply", ref, { by: me, task: "more", last: false }]);
    expect((await pitstop(["session", "supply", "talk", "--last"])).out).toBe("talk: nothing more comes.\n");
    const bad = file("bad-task.yaml", "name: more\nscrpt: echo hi\n");
    expect((await pitstop(["session", "supply", "talk", "-f", bad])).err).toBe(
      "bad-task.yaml:1:1: script: this field is missing (and 1 more in this document).\n",
    );
  });
});

describe("campaign", () => {
  it("starts and is shown", async () => {
    await rig.catalogue.apply(action("look"));
    expect(await pitstop(["campaign", "start", "-a", "look"])).toMatchObject({
      exit: 2,
      err: "Name the targets of the campaign, or select them with --select key=value, and not both.\n",
    });
    expect((await pitstop(["campaign", "start", "-a", "look", "-l", "rack=r1", "--at-once", "5"])).out).toBe(
      'campaign campaign/1 started; follow it with "pitstop campaign show campaign/1".\n',
    );
    expect(rig.sessions.asked.at(-1)).toEqual([
      "campaign",
      { select: "rack=r1", action: "look", params: {}, requestedBy: me, atOnce: 5, onBusy: "fail" },
    ]);
    await rig.catalogue.putRecord(
      record("camp-1", "ct", { campaign: "campaign/1", phase: "stranded", ending: "stranded" }),
    );
    const { out } = await pitstop(["campaign", "show", "campaign/1"]);
    expect(out).toContain("1: 0 home, 1 stranded");
    expect(out).toContain("camp-1");
    expect((await pitstop(["campaign", "list"])).out).toMatch(
      /^CAMPAIGN +STATE +STARTED\ncampaign\/1 +running +\d+d ago\n$/,
    );
    expect(JSON.parse((await pitstop(["campaign", "list", "-o", "json"])).out)).toMatchObject([{ id: "campaign/1" }]);
  });
});

describe("image", () => {
  const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

  it("is added from local files, kept where the server reads them, and verified", async () => {
    const data = join(pitstop.cwd, ".pitstop");
    const kernel = file("vmlinuz", "a kernel");
    const initrd = file("initrd.zst", "an initrd");
    const argv = ["image", "add", "mine", "--kernel", kernel, "--initrd", initrd, "--cmdline", "console=ttyS0 quiet"];
    expect(await pitstop(argv)).toEqual({ exit: 0, out: "image mine created\n", err: "" });
    expect(await rig.catalogue.get("Image", "mine")).toMatchObject({
      kernel: { url: "file:images/mine/vmlinuz", sha256: sha256("a kernel") },
      initrds: [{ url: "file:images/mine/initrd.zst", sha256: sha256("an initrd") }],
      cmdline: ["console=ttyS0", "quiet"],
    });
    expect(readFileSync(join(data, "images/mine/vmlinuz"), "utf8")).toBe("a kernel");
    expect((await pitstop(["image", "verify", "mine"])).out).toBe(
      "ok       file:images/mine/vmlinuz\nok       file:images/mine/initrd.zst\n",
    );
    writeFileSync(join(data, "images/mine/vmlinuz"), "a rotten kernel");
    expect(await pitstop(["image", "verify", "mine"])).toEqual({
      exit: 1,
      out: "differs  file:images/mine/vmlinuz\nok       file:images/mine/initrd.zst\n",
      err: "Image mine: file:images/mine/vmlinuz does not have the digest of the catalogue; put the right file there, or add the image again.\n",
    });
    const bad = ["image", "add", "mine", "--kernel", "gone", "--initrd", initrd];
    expect((await pitstop(bad)).err).toBe(
      "The file gone cannot be read: it does not exist; correct the path, or run this on the server's machine.\n",
    );
    expect((await pitstop([...argv.slice(0, 2), "Mine", ...argv.slice(3)])).err).toMatch(
      /^image Mine:1:\d+: name: a name is lower-case/,
    );
  });

  it("keeps an image that lies in the image folder already, and takes a URL for one that is served", async () => {
    const folder = join(pitstop.cwd, ".pitstop/images/built");
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "k"), "k");
    const k = ".pitstop/images/built/k";
    expect((await pitstop(["image", "add", "built", "--kernel", k, "--initrd", k])).exit).toBe(0);
    expect((await rig.catalogue.get("Image", "built"))?.kernel.url).toBe("file:images/built/k");
    await pitstop(["image", "add", "far", "--kernel", k, "--initrd", k, "--url", `${rig.api.url}/x/`]);
    expect((await rig.catalogue.get("Image", "far"))?.kernel.url).toBe(`${rig.api.url}/x/k`);
    expect(await pitstop(["image", "verify", "far"])).toMatchObject({
      exit: 4,
      err: `${rig.api.url}/x/k cannot be read: it answers 401; see that it is served.\n`,
    });
  });

  it("of another's making is listed", async () => {
    await rig.catalogue.apply(image("base"));
    expect((await pitstop(["get", "images"])).out).toContain("base   maintenance  x86_64  aaaaaaaaaaaa");
  });
});

describe("the command line itself", () => {
  it.each([
    [["frobnicate"], "Unknown command 'frobnicate'\nSee pitstop --help.\n"],
    [["get", "targets", "--colour"], "Unknown option '--colour'\nSee pitstop get --help.\n"],
    [["run"], "Missing required argument 'target'\nSee pitstop run --help.\n"],
    [
      ["get", "targets", "-o", "xml"],
      "Option '-o, --output <format>' argument 'xml' is invalid. Allowed choices are json, yaml.\nSee pitstop get --help.\n",
    ],
  ])("refuses %j with exit code 2", async (argv, err) => {
    expect(await pitstop(argv)).toEqual({ exit: 2, out: "", err });
  });

  it("helps with exit code 0 and names the exit codes", async () => {
    const { exit, out } = await pitstop(["--help"]);
    expect(exit).toBe(0);
    for (const word of [
      "serve",
      "lab",
      "apply",
      "get",
      "delete",
      "run",
      "session",
      "campaign",
      "image",
      "doctor",
      "Exit codes:",
    ]) {
      expect(out).toContain(word);
    }
  });

  it("says that no server answers, with exit code 4", async () => {
    expect(await pitstop(["get", "targets"], { env: { PITSTOP_URL: "http://127.0.0.1:2" } })).toEqual({
      exit: 4,
      out: "",
      err: 'No Pitstop server answers at http://127.0.0.1:2 (ECONNREFUSED); start one with "pitstop serve", or set PITSTOP_URL.\n',
    });
  });

  it("says that a part of the server is away, with exit code 4", async () => {
    rig.sessions.failure = new PitstopError("unreachable", "Temporal does not answer; see that it runs.");
    await rig.catalogue.apply(target("t1", 1));
    await rig.catalogue.apply(action("look"));
    expect(await pitstop(["run", "t1", "-a", "look"])).toEqual({
      exit: 4,
      out: "",
      err: "Temporal does not answer; see that it runs.\n",
    });
  });

  it("reads the token of this machine's server, and says when it has none", async () => {
    const env = { PITSTOP_TOKEN: "" };
    expect(await pitstop(["get", "targets"], { env: { ...env, PITSTOP_DATA: "nowhere" } })).toEqual({
      exit: 2,
      out: "",
      err: "This needs the operators' token: send it as a bearer token (PITSTOP_TOKEN, or the file token in the server's PITSTOP_DATA).\n",
    });
    mkdirSync(join(pitstop.cwd, "data"), { recursive: true });
    file("data/token", `${TOKEN}\n`);
    expect((await pitstop(["get", "targets"], { env: { ...env, PITSTOP_DATA: "data" } })).exit).toBe(0);
  });

  it.each([
    ["PITSTOP_TOKEN", "short", "a token has at least 16 characters; copy the whole of it"],
    ["PITSTOP_SITE", "Here!", "a site's name is lower-case letters, digits, '-' and '.'"],
    ["PITSTOP_LOG_LEVEL", "loud", "it is trace, debug, info, warn, error, silent"],
  ])("says what %s may be", async (name, value, sentence) => {
    expect(await pitstop(["get", "targets"], { env: { [name]: value } })).toMatchObject({
      exit: 2,
      err: `The setting ${name} is not usable: ${sentence}.\n`,
    });
  });

  it("says which setting is wrong", async () => {
    expect(await pitstop(["get", "targets"], { env: { PITSTOP_URL: "ftp://x" } })).toMatchObject({
      exit: 2,
      err: expect.stringMatching(/^The setting PITSTOP_URL is not usable: .*\.\n$/),
    });
  });

  it("shows no stack but with PITSTOP_DEBUG=1", async () => {
    expect((await pitstop(["get", "nodes"], { env: { PITSTOP_DEBUG: "1" } })).err).toContain("at kindWord");
  });
});

describe("doctor", () => {
  it("looks at the machine and the server", async () => {
    const { exit, out } = await pitstop(["doctor"]);
    expect(out).toContain(`ok   node: ${process.versions.node}`);
    expect(out).toContain(`ok   server: answers at ${rig.api.url}`);
    expect(out).toContain("ok   temporal: answers");
    expect(out).toContain("ok   token: accepted");
    expect(exit).toBe(0);
    rig.sessions.checks = [{ name: "temporal", ok: false, detail: "does not answer" }];
    const bad = await pitstop(["doctor", "--json"]);
    rig.sessions.checks = [{ name: "temporal", ok: true, detail: "answers" }];
    expect(bad.exit).toBe(1);
    expect(JSON.parse(bad.out)).toContainEqual({ what: "temporal", state: "bad", detail: "does not answer" });
    expect((await pitstop(["doctor"], { env: { PITSTOP_URL: "http://127.0.0.1:2" } })).exit).toBe(4);
  });
});
