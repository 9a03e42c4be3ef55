import { defineSearchAttributeKey } from "@temporalio/common";

/** The search attributes of sessions and campaigns. `src/temporal/attributes.ts` registers and probes them. */
export const TARGET = defineSearchAttributeKey("PitstopTarget", "KEYWORD");
export const ACTION = defineSearchAttributeKey("PitstopAction", "KEYWORD");
export const PHASE = defineSearchAttributeKey("PitstopPhase", "KEYWORD");
export const OUTCOME = defineSearchAttributeKey("PitstopOutcome", "KEYWORD");
export const SITE = defineSearchAttributeKey("PitstopSite", "KEYWORD");
export const CAMPAIGN = defineSearchAttributeKey("PitstopCampaign", "KEYWORD");

export const SEARCH_ATTRIBUTES = [TARGET, ACTION, PHASE, OUTCOME, SITE, CAMPAIGN] as const;
