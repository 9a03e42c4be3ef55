/** One server-sent event with JSON data. */
export interface SseMessage {
  event: string;
  json: unknown;
}

const MAX_MESSAGE_CHARS = 4 * 1024 * 1024;

/**
 * Reads an event stream (WHATWG HTML section 9.2.6). `onBytes` is called for whatever arrives, heartbeats included.
 * A message larger than 4 Mi characters ends the stream with an error.
 */
export async function* readSse(body: AsyncIterable<Uint8Array>, onBytes: () => void): AsyncGenerator<SseMessage> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of body) {
    onBytes();
    rest += decoder.decode(bytes, { stream: true });
    const messages = rest.split("\n\n");
    rest = messages.pop() ?? "";
    if (rest.length > MAX_MESSAGE_CHARS) throw new Error("an event is too large");
    for (const message of messages) {
      const read = readMessage(message);
      if (read) yield read;
    }
  }
}

/** Null for comments and for data that is not JSON. */
function readMessage(text: string): SseMessage | null {
  let event = "message";
  const data: string[] = [];
  for (const line of text.split("\n")) {
    const [, field, value] = /^([a-z]+): ?(.*)$/.exec(line) ?? [];
    if (field === "event") event = value ?? "";
    if (field === "data") data.push(value ?? "");
  }
  if (data.length === 0) return null;
  try {
    return { event, json: JSON.parse(data.join("\n")) };
  } catch {
    return null;
  }
}
