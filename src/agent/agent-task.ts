import type { AgentTask } from "../domain/agent.js";
import type { PlannedTask, SessionPlan } from "../domain/session.js";

/** A planned task as the agent gets it. `script`: the text whose digest the plan has. */
export function agentTask(plan: SessionPlan, task: PlannedTask, script: string): AgentTask {
  const env: Record<string, string> = { PITSTOP_SESSION: plan.session, PITSTOP_TARGET: plan.target.name };
  for (const [name, value] of Object.entries(plan.action?.params ?? {})) env[`PARAM_${name.toUpperCase()}`] = value;
  return {
    id: task.id,
    name: task.name,
    script,
    env,
    timeoutSeconds: Math.ceil(task.timeoutMs / 1000),
    unlock: task.destructive ? task.devices : [],
  };
}
