/** iPXE's settings: `${name}` and `${name:type}`, with or without the card that they belong to. */
export class Settings {
  readonly #values: Map<string, string>;

  constructor(values: Record<string, string>) {
    this.#values = new Map(Object.entries(values));
  }

  get(name: string): string | undefined {
    return this.#values.get(plain(name));
  }

  set(name: string, value: string): void {
    this.#values.set(plain(name), value);
  }

  clear(name: string): void {
    this.#values.delete(plain(name));
  }

  /** An unknown setting expands to nothing. The inner one of nested settings is expanded first. */
  expand(text: string): string {
    let expanded = text;
    // Each pass takes the innermost ones away; deeper nesting than this is no script of ours.
    for (let pass = 0; pass < 8 && expanded.includes("${"); pass++) {
      expanded = expanded.replace(/\$\{([^${}]*)\}/g, (_, inner: string) => {
        const [name = "", type = "string"] = inner.split(":");
        return formatted(this.get(name) ?? "", type);
      });
    }
    return expanded;
  }
}

/** `netX/mac` is the card that iPXE boots from, and `net0/mac` the only one that the lab gives it. */
const plain = (name: string): string => name.replace(/^net[X0-9]+\//, "").split(":")[0] ?? name;

function formatted(value: string, type: string): string {
  switch (type) {
    case "hexhyp":
      return value.replaceAll(":", "-");
    case "hexraw":
      return value.replaceAll(":", "");
    case "uristring":
      return encodeURIComponent(value);
    default:
      return value;
  }
}
