/** What Temporal's client throws for a workflow that is not there. */
export class WorkflowNotFoundError extends Error {
  override name = "WorkflowNotFoundError";
}
