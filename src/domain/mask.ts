const MASK = "[redacted]";
/** What is shorter is no secret, and would be found in every other word. */
const SHORTEST = 4;

/**
 * A value that somebody else has made, without the secrets of ours that it repeats: BMCs quote the request in an error, scripts
 * print their agent's settings. For what is written down; its reader sees that something was there.
 */
export function masked<T>(value: T, secrets: readonly string[]): T {
  const forms = secrets
    .filter((secret) => secret.length >= SHORTEST)
    .flatMap((secret) => [secret, encodeURIComponent(secret), Buffer.from(secret).toString("base64")]);
  return forms.length === 0 ? value : (within(value, forms) as T);
}

function within(value: unknown, forms: readonly string[]): unknown {
  if (typeof value === "string") return forms.reduce((text, form) => text.replaceAll(form, MASK), value);
  if (Array.isArray(value)) return value.map((one) => within(one, forms));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [within(name, forms), within(one, forms)]));
}

/** The same for bytes, a log's, whatever text they are. */
export function maskedBytes(bytes: Buffer, secrets: readonly string[]): Buffer {
  if (!secrets.some((secret) => bytes.includes(secret))) return bytes;
  return Buffer.from(masked(bytes.toString("latin1"), secrets), "latin1");
}
