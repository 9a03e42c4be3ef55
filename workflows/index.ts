/** What the workflow worker registers. */
export { maintenanceCampaign } from "./maintenanceCampaign.js";
export { maintenanceSession } from "./maintenanceSession.js";
