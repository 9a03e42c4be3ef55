import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { HomeFacts } from "./normal-system.js";

/** Null while the machine's normal system does not run. */
export type HomeAnswerer = () => Promise<HomeFacts | null>;

/**
 * Answers the home checks of all process machines of a lab: `/home/<name>`. A machine whose normal system does not run
 * has no address at all, so the connection is closed without an answer.
 */
export class HomeServer {
  readonly #server: Server;
  readonly #host: string;
  readonly #machines = new Map<string, HomeAnswerer>();

  private constructor(host: string) {
    this.#host = host;
    this.#server = createServer({ keepAliveTimeout: 2_000 }, (request, response) => {
      const name = /^\/home\/([a-z0-9.-]+)\/?$/.exec(request.url ?? "")?.[1];
      const answer = name === undefined ? undefined : this.#machines.get(name);
      const facts = answer ? answer() : Promise.resolve(null);
      facts.then(
        (known) => {
          if (!known) return void request.socket.destroy();
          response.writeHead(200, { "Content-Type": "application/json", "Cache-Control": "no-store" });
          response.end(`${JSON.stringify(known)}\n`);
        },
        () => void request.socket.destroy(),
      );
    });
  }

  static async listen(host: string, port = 0): Promise<HomeServer> {
    const home = new HomeServer(host);
    await new Promise<void>((resolve, reject) => {
      home.#server.once("error", reject);
      home.#server.listen(port, host, resolve);
    });
    return home;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Returns the machine's home URL. */
  register(name: string, answer: HomeAnswerer): string {
    this.#machines.set(name, answer);
    return `http://${this.#host}:${this.port}/home/${name}`;
  }

  unregister(name: string): void {
    this.#machines.delete(name);
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }
}
