/** What Temporal's client throws for a workflow that is not there. */
export class WorkflowNotFoundError extends Error {
  override name = "WorkflowNotFoundError";
}

/** The target's lock: a workflow with this id is open. */
export class WorkflowExecutionAlreadyStartedError extends Error {
  override name = "WorkflowExecutionAlreadyStartedError";
}
