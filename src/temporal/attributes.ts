import { type Client, type Connection, isGrpcServiceError } from "@temporalio/client";
import { SEARCH_ATTRIBUTES } from "../../workflows/attributes.js";
import { messageOf, PitstopError } from "../domain/errors.js";

/** temporal.api.enums.v1.IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD */
const KEYWORD = 2;
/** google.rpc.Code.INVALID_ARGUMENT, the answer to a query that names what is not registered. */
const INVALID_ARGUMENT = 3;
/**
 * A server tells its caches with some delay: 2 s by default, 10 s in older ones (system.namespaceCacheRefreshInterval), and more on a
 * host that is busy.
 */
const TOLD_WITHIN_MS = 30_000;
const LOOK_EVERY_MS = 250;

/**
 * Ensures that every search attribute is registered as a keyword, and proves it before anything polls: an unregistered
 * one would fail workflow tasks for ever, the restore's included.
 */
export async function ensureSearchAttributes(connection: Connection, namespace: string): Promise<void> {
  const wrong = await missing(connection, namespace);
  if (wrong.length === 0) return;
  let reason = "";
  try {
    await connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(wrong.map((name) => [name, KEYWORD])),
    });
  } catch (error) {
    reason = messageOf(error);
  }
  const end = Date.now() + TOLD_WITHIN_MS;
  for (;;) {
    const still = await missing(connection, namespace);
    if (still.length === 0) return;
    if (reason || Date.now() > end) break;
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
  const command = wrong.map((name) => `--name ${name} --type Keyword`).join(" ");
  throw new PitstopError(
    "refused",
    `Temporal's namespace ${namespace} lacks search attributes${reason ? ` and refused to add them (${reason})` : ""}; run: temporal operator search-attribute create --namespace ${namespace} ${command}`,
  );
}

async function missing(connection: Connection, namespace: string): Promise<string[]> {
  const known = await connection.operatorService.listSearchAttributes({ namespace });
  return SEARCH_ATTRIBUTES.map((key) => key.name).filter((name) => known.customAttributes?.[name] !== KEYWORD);
}

/**
 * Whether a query may name every search attribute. The operator service would say it as well, but the server leaves a connection
 * to itself open at each of its calls: it is not for what is asked again and again.
 */
export async function knowsSearchAttributes(client: Client): Promise<boolean> {
  try {
    await client.workflow.count(SEARCH_ATTRIBUTES.map((key) => `${key.name} = 'none'`).join(" OR "));
    return true;
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined;
    if ([error, cause].some((each) => isGrpcServiceError(each) && each.code === INVALID_ARGUMENT)) return false;
    throw error;
  }
}

/** Ensures that closed sessions stay readable for `days`; only for a server that is ours. */
export async function ensureRetention(connection: Connection, namespace: string, days: number): Promise<void> {
  await connection.workflowService.updateNamespace({
    namespace,
    config: { workflowExecutionRetentionTtl: { seconds: days * 86_400 } as never },
  });
}
