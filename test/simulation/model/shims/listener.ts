import { type ERROR_CODES, messageOf, PitstopError } from "../../../../src/domain/errors.js";
import { current, type Life, within } from "../clock.js";
import { theWorld } from "../world.js";

export interface Asked {
  method: string;
  url: string;
  headers?: Record<string, string>;
  body?: unknown;
}
export interface Answered {
  status: number;
  body: unknown;
}
type Handler = (request: object, reply: Reply) => unknown;
interface Route {
  methods: string[];
  pattern: RegExp;
  names: string[];
  handler: Handler;
}

const STATUS: Record<(typeof ERROR_CODES)[number], number> = {
  invalid: 400,
  unauthorized: 401,
  notFound: 404,
  busy: 409,
  conflict: 409,
  refused: 422,
  unreachable: 503,
  internal: 500,
};

/** As much of Fastify as the targets' listener uses: routes, and an answer that goes out or does not. */
class App {
  readonly routes: Route[] = [];

  constructor(readonly life: Life) {}

  route({ method, url, handler }: { method: string[]; url: string; handler: Handler }): void {
    const names: string[] = [];
    const pattern = url.replace(/:(\w+)/g, (_, name: string) => {
      names.push(name);
      return "([^/]+)";
    });
    this.routes.push({ methods: method, pattern: new RegExp(`^${pattern}$`), names, handler });
  }
  post(url: string, _options: object, handler: Handler): void {
    this.route({ method: ["POST"], url, handler });
  }
  put(url: string, _options: object, handler: Handler): void {
    this.route({ method: ["PUT"], url, handler });
  }
  get(url: string, handler: Handler): void {
    this.route({ method: ["GET"], url, handler });
  }
  getDefaultJsonParser(): null {
    return null;
  }
  addContentTypeParser(): void {}
  removeContentTypeParser(): void {}
  removeAllContentTypeParsers(): void {}
  register(plugin: (scope: App, options: object, done: () => void) => void): void {
    plugin(this, {}, () => undefined);
  }

  /** `arrives` says, when the answer is ready, whether it reaches who asked. */
  async ask(asked: Asked, arrives: () => boolean): Promise<Answered> {
    const [path = "", query = ""] = asked.url.split("?");
    const reply = new Reply();
    try {
      for (const route of this.routes) {
        const found = route.methods.includes(asked.method) ? route.pattern.exec(path) : null;
        if (!found) continue;
        const params = Object.fromEntries(route.names.map((name, i) => [name, found[i + 1]]));
        const request = {
          method: asked.method,
          params,
          query: Object.fromEntries(new URLSearchParams(query)),
          headers: asked.headers ?? {},
          body: asked.body,
          raw: { url: asked.url },
        };
        const value = await route.handler(request, reply);
        if (value !== reply) reply.send(value);
        if (arrives()) reply.finish();
        else reply.close();
        return { status: reply.status, body: JSON.parse(JSON.stringify(reply.body ?? null)) };
      }
      return { status: 404, body: null };
    } catch (error) {
      const known = error instanceof PitstopError;
      const status = known ? ((error.facts.status as number | undefined) ?? STATUS[error.code]) : 500;
      if (!known) theWorld().tell(`site: unexpected ${error instanceof Error ? error.stack : String(error)}`);
      return { status, body: { ...(known ? error.facts : {}), detail: messageOf(error) } };
    }
  }
}

class Reply {
  status = 200;
  body: unknown = null;
  private readonly events = new Map<string, (() => void)[]>();
  readonly raw = {
    once: (name: string, act: () => void) => this.events.set(name, [...(this.events.get(name) ?? []), act]),
  };
  code(status: number): this {
    this.status = status;
    return this;
  }
  type(): this {
    return this;
  }
  header(): this {
    return this;
  }
  send(body: unknown): this {
    this.body = body;
    return this;
  }
  finish(): void {
    for (const act of this.events.get("finish") ?? []) act();
  }
  close(): void {
    for (const act of this.events.get("close") ?? []) act();
  }
}

export type SiteApp = App;

export async function startListener(options: { tls?: object; routes: (app: App) => void }) {
  const context = current();
  const app = new App(context.life);
  options.routes(app);
  const { network } = theWorld();
  const ask = (asked: Asked, arrives: () => boolean) => within(context, () => app.ask(asked, arrives));
  network.listen(options.tls ? "tls" : "plain", { life: context.life, ask });
  return { port: 1, renew: () => undefined, close: async () => network.unlisten(options.tls ? "tls" : "plain") };
}
