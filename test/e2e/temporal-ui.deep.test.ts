import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PitstopClient } from "../../src/api/client.js";
import { loadConfig } from "../../src/config.js";
import type { Lab } from "../../src/lab/lab.js";
import type { RunningServer } from "../../workers/serve.js";
import { freePort } from "../support/free-port.js";

const CHROMIUM = "/usr/bin/chromium";
/** A page of the UI on a busy host, its background requests included. */
const PAGE_MS = 20_000;
/** A session of a process machine takes 5 s; a busy host may take longer. */
const SESSION_MS = 60_000;
/** Set to a folder, it gets a picture of each page in light and in dark. */
const PICTURES = process.env.PITSTOP_TEST_PICTURES;

const ACTIONS = `
kind: Action
name: look-around
image: pitstop-base
mode: active
tasks:
  - {name: count-disks, script: "echo '{\\"disks\\": 2}'"}
  - {name: read-clock, script: "date +%s"}
---
kind: Action
name: hasty
image: pitstop-base
mode: active
tasks: [{name: look, script: "true"}]
limits: {boot: 30s, bootAttempts: 1, work: 1m, lease: 1m, home: 2s}
`;

const data = mkdtempSync(join(tmpdir(), "pitstop-ui-"));
let server: RunningServer;
let lab: Lab;
let client: PitstopClient;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  // Workers run the compiled form, with the workflows in one bundle.
  const { build } = (await imported("scripts/build.mjs")) as { build(how: { quiet: boolean }): Promise<boolean> };
  await build({ quiet: true });
  const serve = (await imported("dist/workers/serve.js")) as typeof import("../../workers/serve.js");
  const { openLab } = (await imported("dist/workers/lab.js")) as typeof import("../../workers/lab.js");
  const [plain, tls] = [await freePort(), await freePort()];
  const config = loadConfig({
    PITSTOP_DATA: data,
    PITSTOP_LISTEN: "127.0.0.1:0",
    PITSTOP_SITE_LISTEN: `127.0.0.1:${plain}`,
    PITSTOP_SITE_TLS_LISTEN: `127.0.0.1:${tls}`,
    PITSTOP_SITE_URL: `http://127.0.0.1:${plain}`,
    PITSTOP_SITE_TLS_URL: `https://127.0.0.1:${tls}`,
    PITSTOP_LOG_LEVEL: "silent",
  });
  server = await serve.startServer(config, () => undefined);
  lab = await openLab(config, {
    machines: [
      { name: "r1-n07", kind: "process" },
      // Its system never runs, so that nothing can prove that it is home.
      { name: "r1-n13", kind: "process", faults: { brokenDisk: true }, shutdown: { graceful: "1s", then: "force" } },
    ],
  });
  client = new PitstopClient({ url: server.api, token: server.token });
  await client.applyYaml(`${lab.targetYaml()}\n---${ACTIONS}`, "the test's documents");
  const { machine } = lab.target("r1-n07");
  await eventually(async () => (await fetch(machine.homeUrl)).ok);
  browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
  });
  page = await browser.newPage({ viewport: { width: 1400, height: 1200 } });
  page.setDefaultTimeout(PAGE_MS);
}, 300_000);

afterAll(async () => {
  await browser?.close();
  await lab?.close();
  await server?.close();
  rmSync(data, { recursive: true, force: true });
});

const imported = (path: string) => import(new URL(`../../${path}`, import.meta.url).href);

async function eventually(holds: () => Promise<boolean>, withinMs = SESSION_MS): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!(await holds().catch(() => false))) {
    if (Date.now() > deadline) throw new Error(`not within ${withinMs / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

const workflows = () => `${server.temporal.uiUrl}/namespaces/${server.temporal.namespace}/workflows`;

/** Opens a workflow's page by what a person clicks: its id in the list. */
async function open(workflowId: string, tab?: string): Promise<void> {
  await page.goto(workflows());
  await page.getByRole("link", { name: workflowId, exact: true }).first().click();
  await page.getByRole("heading", { name: workflowId }).waitFor();
  if (tab) await page.getByRole("tab", { name: tab }).click();
}

async function start(workflowId: string, type: string, input: unknown): Promise<void> {
  await page.goto(`${workflows()}/start-workflow`);
  await page.getByLabel("Workflow ID").fill(workflowId);
  await page.getByLabel("Task Queue").fill("pitstop");
  await page.getByLabel("Workflow Type").fill(type);
  await page.locator(".cm-content").first().click();
  await page.keyboard.insertText(JSON.stringify(input));
  await page.keyboard.press("Tab");
  // The form grows when it has looked at the queue, and a click before that would miss its button.
  await page.getByText("Task Queue is Active").waitFor();
  await page.getByRole("button", { name: "Start Workflow" }).click();
  // The list does not renew itself: it is opened when the workflow is in it.
  await eventually(async () => {
    const found = await fetch(`${server.temporal.uiUrl}/api/v1/namespaces/default/workflows`);
    const { executions } = (await found.json()) as { executions?: { execution: { workflowId: string } }[] };
    return executions?.some(({ execution }) => execution.workflowId === workflowId) ?? false;
  });
}

const status = (text: string) => page.getByText(text, { exact: true }).first().waitFor({ timeout: SESSION_MS });

/** What the UI renders of the current details, in a frame of its own. */
async function details(): Promise<string> {
  const rendered = page.frameLocator("iframe").last().locator("main");
  await rendered.waitFor();
  return await rendered.innerText();
}

async function picture(name: string): Promise<void> {
  if (!PICTURES) return;
  mkdirSync(PICTURES, { recursive: true });
  for (const colorScheme of ["dark", "light"] as const) {
    await page.emulateMedia({ colorScheme });
    // The UI chooses its colours when it is loaded.
    await page.reload();
    await page.waitForTimeout(2_500);
    await page.screenshot({ path: join(PICTURES, `${name}-${colorScheme}.png`), fullPage: true });
  }
}

describe.skipIf(!existsSync(CHROMIUM))("the Temporal UI", { timeout: 2 * SESSION_MS }, () => {
  it("starts a campaign by hand, whose page shows its sessions by what they do", async () => {
    await start("rack-check", "maintenanceCampaign", { targets: ["r1-n07"], action: "look-around" });
    await eventually(async () => (await client.session("r1-n07")).ending !== null);
    await open("rack-check");
    await status("Completed");
    await page.getByText("look-around on r1-n07").first().waitFor();
    await picture("campaign");
    await page.getByRole("tab", { name: "User Metadata" }).click();
    expect(await details()).toContain("look-around on 1 target: 0 running, 0 waiting, 1 ended, 0 skipped");
    await page.getByRole("tab", { name: "Search Attributes" }).click();
    await page.getByText('"PitstopAction": "look-around"').waitFor();
  });

  it("tells each step of a session in plain words", async () => {
    await open("maintenance/r1-n07");
    await status("Completed");
    const story = [
      "Freeze target, action and image",
      "Identify the target, keep its boot snapshot",
      "Keep the boot snapshot in the catalogue",
      "Stage pitstop-base at default",
      "Set the next boot",
      "Shut the target's system down",
      "Power on, armed",
      "The image must have made contact",
      "The work must have ended",
      "Task count-disks",
      "Task read-clock",
      "Leave the image",
      "Put the boot state back to the snapshot",
      "Power on, homewards",
      "Is the target home, as it was?",
      "Close the session at the site",
      "Write the session's record",
    ];
    // Local activities tell their summary on the second of these pages only.
    await eventually(async () => (await page.locator("body").innerText()).includes("captureSnapshot"));
    let told = await page.locator("body").innerText();
    await picture("history");
    await page.getByRole("link", { name: "rack-check" }).first().waitFor();
    await page.getByRole("tab", { name: "User Metadata" }).click();
    await page.getByText("Events with Metadata").waitFor();
    told += await page.locator("body").innerText();
    expect(story.filter((line) => !told.includes(line))).toEqual([]);
  });

  it("shows in the current details how the work and the way home went, phase by phase", async () => {
    await open("maintenance/r1-n07", "User Metadata");
    const told = await details();
    await picture("details");
    expect(told).toContain("r1-n07: look-around, now restored");
    expect(told).toContain("Work: succeeded (count-disks succeeded, read-clock succeeded).");
    expect(told).toContain("Home: proved. The same system as before runs there again.");
    const phases = [...told.matchAll(/^(\w+)\s+\d\d:\d\d:\d\d\s+\d+\.\d s$/gm)].map((row) => row[1]);
    expect(phases).toEqual([
      ...["planning", "capturing", "staging", "arming", "rebooting", "working", "restoring", "verifying", "restored"],
    ]);
  });

  it("finds sessions by their search attributes", async () => {
    await open("maintenance/r1-n07", "Search Attributes");
    for (const [name, value] of Object.entries({
      PitstopTarget: "r1-n07",
      PitstopAction: "look-around",
      PitstopPhase: "restored",
      PitstopOutcome: "succeeded",
      PitstopSite: "default",
      PitstopCampaign: "rack-check",
    })) {
      await page.getByText(`"${name}": "${value}"`).waitFor();
    }
    await picture("attributes");
    const query = async (text: string) => {
      await page.goto(`${workflows()}?query=${encodeURIComponent(text)}`);
      return page.getByRole("link", { name: "maintenance/r1-n07", exact: true });
    };
    await (await query('PitstopPhase="restored"')).first().waitFor();
    const none = await query('PitstopPhase="stranded"');
    await page.getByText("No Results").first().waitFor();
    expect(await none.count()).toBe(0);
  });

  it("tells why a start was refused, and what would be right", async () => {
    await start("typo", "maintenanceCampaign", { targets: ["r1-n70"], action: "look-around" });
    await open("typo");
    await status("Failed");
    await page.getByText('There is no target "r1-n70"; "pitstop get targets" lists them.').first().waitFor();
    await picture("refused");
    await start("wrong-lock", "maintenanceSession", { target: "r1-n07", action: "look-around" });
    await open("wrong-lock");
    await status("Failed");
    await page.getByText("has the workflow id maintenance/r1-n07").first().waitFor();
  });

  it("shows a stranded session as running, with its reason and what to send, until somebody releases it", async () => {
    await start("maintenance/r1-n13", "maintenanceSession", { target: "r1-n13", action: "hasty" });
    await eventually(async () => (await client.session("r1-n13")).ending === "stranded");
    await open("maintenance/r1-n13", "User Metadata");
    await status("Running");
    const told = await details();
    await picture("stranded");
    expect(told).toContain("Stranded: a person must act.");
    expect(told).toContain("retryRestore");
    await client.release("r1-n13", { by: "ada", reason: "its disk is being replaced" });
    await eventually(async () => (await client.session("r1-n13")).ending === "released");
    await open("maintenance/r1-n13", "User Metadata");
    await status("Completed");
    expect(await details()).toContain("Home: not proved; released by ada: its disk is being replaced");
  });
});
