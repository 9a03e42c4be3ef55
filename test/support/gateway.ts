import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import {
  type AgentTask,
  DoneRequest,
  HelloRequest,
  type NextResponse,
  ProgressRequest,
  ResultRequest,
} from "../../src/domain/agent.js";
import { makeCertificate, type TestCertificate } from "./tls.js";

type Order = Omit<NextResponse, "leaseSeconds">;

/**
 * The server's side of docs/agent-protocol.md for one session, in memory: what an image is tested against. It keeps all it
 * heard, and its faults are asked for by name.
 */
export class TestGateway {
  readonly certificate: TestCertificate;
  readonly nonce = "test-nonce-0123456789";
  readonly token = "test.token-0123456789";
  mode: "active" | "passive" = "active";
  tasks: AgentTask[] = [];
  leaseSeconds = 60;

  readonly hellos: HelloRequest[] = [];
  readonly requests: string[] = [];
  readonly results = new Map<string, ResultRequest>();
  readonly logs = new Map<string, Buffer>();
  readonly progress: { task: string; message: string; percent: number | null }[] = [];
  done: DoneRequest | null = null;
  /** Statuses with which the next requests are answered, whatever they are. */
  readonly faults: number[] = [];
  cancelByProgress = false;

  #server: Server | null = null;
  #port = 0;
  readonly #sockets = new Set<Socket>();
  #order: Order | null = null;
  #poll: (() => void) | null = null;
  readonly #waiters: { test: () => boolean; resolve: () => void }[] = [];

  private constructor(certificate: TestCertificate) {
    this.certificate = certificate;
  }

  static async start(certificate?: TestCertificate): Promise<TestGateway> {
    const gateway = new TestGateway(certificate ?? (await makeCertificate()));
    await gateway.listen();
    return gateway;
  }

  get port(): number {
    return this.#port;
  }

  /** Listens on the port of the first time, so that an agent finds it again. */
  async listen(): Promise<void> {
    const server = createServer(
      { cert: this.certificate.certPem, key: this.certificate.keyPem },
      (request, response) => {
        this.#handle(request, response).catch(() => this.#problem(response, 400));
      },
    );
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
    await new Promise<void>((resolve) => server.listen(this.#port, "127.0.0.1", resolve));
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  /** Closes the listener and every connection, as a process that dies does. What it heard stays. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    for (const socket of this.#sockets) socket.destroy();
    if (server) await new Promise((resolve) => server.close(resolve));
  }

  /** Hands the task out until its result has come. */
  offer(task: Partial<AgentTask> & { id: string; script: string }): void {
    this.#say({ do: "task", task: { name: task.id, env: {}, timeoutSeconds: 60, unlock: [], ...task } });
  }

  cancel(id: string): void {
    this.#say({ do: "cancel", cancel: id });
  }

  finish(power: "off" | "reboot" | "stay"): void {
    this.#say({ do: "finish", power });
  }

  async result(id: string, timeoutMs = 60_000): Promise<ResultRequest> {
    await this.until(() => this.results.has(id), `the result of ${id}`, timeoutMs);
    return this.results.get(id) as ResultRequest;
  }

  /** Resolves when `test` holds; it is looked at after each request. */
  async until(test: () => boolean, what: string, timeoutMs = 15_000): Promise<void> {
    if (test()) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve, reject) => {
      this.#waiters.push({ test, resolve });
      timer = setTimeout(
        () => reject(new Error(`${what} did not come in ${timeoutMs} ms; requests: ${this.requests.join(", ")}`)),
        timeoutMs,
      );
    });
    clearTimeout(timer);
  }

  #say(order: Order): void {
    this.#order = order;
    this.#poll?.();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "https://gateway");
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const path = url.pathname.replace("/agent/v1/", "");
    this.requests.push(`${request.method} ${path}`);
    const fault = this.faults.shift();
    if (fault) {
      this.#problem(response, fault);
      return;
    }
    if (path === "hello") {
      this.#hello(body, response);
      return;
    }
    if (request.headers.authorization !== `Bearer ${this.token}`) {
      this.#problem(response, 401);
      return;
    }
    const waitMs = Math.min(30, Number(url.searchParams.get("wait") ?? 0)) * 1000;
    const [, id, part] = /^tasks\/([^/]+)\/(log|progress|result)$/.exec(path) ?? [];
    if (part === "log" && id) this.#log(id, Number(url.searchParams.get("offset")), body, response);
    else if (part === "progress" && id) {
      this.progress.push({ task: id, ...ProgressRequest.parse(JSON.parse(body.toString())) });
      this.#answer(response, { cancel: this.cancelByProgress });
    } else if (part === "result" && id) {
      if (!this.results.has(id)) this.results.set(id, ResultRequest.parse(JSON.parse(body.toString())));
      if (this.#order?.task?.id === id || this.#order?.cancel === id) this.#order = null;
      this.#hold(response, waitMs, null);
    } else if (path === "done") {
      this.done = DoneRequest.parse(JSON.parse(body.toString()));
      this.#hold(response, waitMs, null);
    } else if (path === "next") this.#hold(response, waitMs, url.searchParams.get("running"));
    else this.#problem(response, 404);
    this.#look();
  }

  #hello(body: Buffer, response: ServerResponse): void {
    const hello = HelloRequest.parse(JSON.parse(body.toString()));
    if (hello.nonce !== this.nonce) {
      this.#problem(response, 401);
      return;
    }
    const first = this.hellos[0];
    if (first && first.bootId !== hello.bootId) {
      this.#problem(response, 410);
      return;
    }
    this.hellos.push(hello);
    this.#answer(response, { token: this.token, session: "test-session", mode: this.mode, tasks: this.tasks });
    this.#look();
  }

  #log(id: string, offset: number, piece: Buffer, response: ServerResponse): void {
    const kept = this.logs.get(id) ?? Buffer.alloc(0);
    if (offset > kept.length) {
      this.#problem(response, 409, { offset: kept.length });
      return;
    }
    const fresh = piece.subarray(Math.min(piece.length, kept.length - offset));
    this.logs.set(id, Buffer.concat([kept, fresh]));
    this.#answer(response, { cancel: this.cancelByProgress });
  }

  #hold(response: ServerResponse, waitMs: number, running: string | null): void {
    this.#poll?.();
    const mine = (): Order | null => (running !== null && this.#order?.do === "task" ? null : this.#order);
    const answer = () => {
      clearTimeout(timer);
      if (this.#poll === answer) this.#poll = null;
      this.#answer(response, mine() ?? { do: "wait" });
    };
    const timer = setTimeout(answer, mine() ? 0 : waitMs);
    this.#poll = answer;
  }

  #answer(response: ServerResponse, body: object): void {
    if (response.headersSent || response.destroyed) return;
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ ...body, leaseSeconds: this.leaseSeconds }));
  }

  #problem(response: ServerResponse, status: number, more: object = {}): void {
    if (response.headersSent) return;
    response.writeHead(status, { "content-type": "application/problem+json" });
    response.end(JSON.stringify({ type: "about:blank", title: "test", status, ...more }));
  }

  #look(): void {
    for (const waiter of [...this.#waiters]) {
      if (!waiter.test()) continue;
      this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
      waiter.resolve();
    }
  }
}
