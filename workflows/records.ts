import { getExternalWorkflowHandle, workflowInfo } from "@temporalio/workflow";
import { central, patient } from "./context.js";
import type { Logbook } from "./logbook.js";
import { announcedSignal } from "./messages.js";

/** Keeps the catalogue's record of a session. One write at a time: a late one never brings an older state back. */
export class Records {
  private isStale = false;
  private writing: Promise<void> | null = null;

  constructor(private readonly log: Logbook) {}

  /** Resolves when the record says what the session knows now, or more. Retries for up to a day while the catalogue is away; never throws. */
  keep(): Promise<void> {
    this.isStale = true;
    this.writing ??= this.write().finally(() => {
      this.writing = null;
    });
    return this.writing;
  }

  private async write(): Promise<void> {
    while (this.isStale) {
      this.isStale = false;
      const record = this.log.record();
      await central
        .recordSession({ record })
        .catch(() => patient.recordSession({ record }))
        .catch(() => undefined);
    }
  }

  /** Keeps the record, then signals the campaign, which goes on without the session. Never throws. */
  async announce(): Promise<void> {
    await this.keep();
    const parent = workflowInfo().parent;
    if (!parent) return;
    await getExternalWorkflowHandle(parent.workflowId, parent.runId)
      .signal(announcedSignal, this.log.announcement())
      .catch(() => undefined);
  }
}
