import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Action } from "../../src/domain/action.js";
import { InventoryReport } from "../../src/domain/inventory.js";
import { builtinAction } from "./actions.js";

describe("the built-in actions", () => {
  it.each(readdirSync("images/actions").filter((file) => file.endsWith(".yaml")))("%s is a valid action", (file) => {
    expect(Action.parse(builtinAction(file))).toMatchObject({ kind: "Action", destructive: false });
  });

  it("passive-check is ten lines", () => {
    expect(readFileSync("images/actions/passive-check.yaml", "utf8").trim().split("\n").length).toBeLessThanOrEqual(10);
  });

  it("reboot-only has no image and no task", () => {
    expect(Action.parse(builtinAction("reboot-only.yaml"))).toMatchObject({ mode: "passive", tasks: [] });
    expect(Action.parse(builtinAction("reboot-only.yaml")).image).toBeUndefined();
  });

  it.each([["dash"], ["busybox", "sh"]])(
    "the inventory's script makes a valid report under %s on this machine",
    (...shell) => {
      const folder = mkdtempSync(join(tmpdir(), "pitstop-inventory-"));
      const task = Action.parse(builtinAction("inventory.yaml")).tasks[0];
      const finding = join(folder, "finding");
      const [command = "sh", ...args] = shell;
      execFileSync(command, [...args, "-c", task?.script ?? "exit 1"], {
        env: { PATH: process.env.PATH, PITSTOP_FINDING: finding },
        stdio: "pipe",
      });
      const report = InventoryReport.parse(JSON.parse(readFileSync(finding, "utf8")));
      expect(report.cpu.threads).toBeGreaterThan(0);
      expect(report.memory.totalBytes).toBeGreaterThan(0);
      // What is not read-only is not mounted: this machine's own disks are not.
      expect(report.installed).toEqual([]);
      rmSync(folder, { recursive: true, force: true });
    },
  );
});
