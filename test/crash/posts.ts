import { createServer, type Server, type Socket } from "node:net";
import { createInterface } from "node:readline";
import type { Effect } from "../../workers/effects.js";

/** A moment of a session: which side effect, before or after it, and the how-manieth of its kind since the post was set. */
export interface Post {
  point: string;
  when: "before" | "after";
  nth: number;
}

export const nameOf = ({ point, when, nth }: Post): string => `${when} ${point} #${nth}`;
export const keyOf = ({ point, when }: Pick<Post, "point" | "when">): string => `${when} ${point}`;

/** What of a target there is to kill. */
export interface Alive {
  agent: boolean;
  machine: boolean;
}

/** A side effect as it happened. */
export interface Step extends Post {
  alive: Alive;
  /** Since the post was set. */
  ms: number;
}

/** A target that is waited for at its post. */
interface Watched {
  post: Post | null;
  seen: Map<string, number>;
  story: Step[];
  reached: boolean;
  go: (() => void) | null;
  onReached: () => void;
  since: number;
}

/** What names no target is anybody's: it counts for each target, and stops the first that waits for it. */
const ANYBODY = [/^objects\./, /^agent\.hello$/, /^catalogue\.once$/, /^activity\.planCampaign$/];
export const isAnybodys = (point: string): boolean => ANYBODY.some((one) => one.test(point));

/**
 * Where sessions are stopped: the servers' hooks tell of each side effect and wait for an answer. It comes at once, but for
 * the target that has reached its post.
 */
export class Posts {
  private readonly targets = new Map<string, Watched>();
  private readonly sockets = new Set<Socket>();
  /** Looks at a target at each of its side effects. */
  alive: (target: string) => Alive = () => ({ agent: false, machine: false });

  private constructor(
    private readonly server: Server,
    readonly path: string,
  ) {}

  static async listen(path: string): Promise<Posts> {
    const server = createServer();
    const posts = new Posts(server, path);
    server.on("connection", (socket) => posts.serve(socket));
    await new Promise<void>((done) => server.listen(path, done));
    return posts;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise<void>((done) => {
      this.server.close(() => done());
    });
  }

  /** From now on the target's effects are noted, and it is stopped at the post. */
  watch(target: string, post: Post | null, onReached: () => void = () => undefined): void {
    this.targets.set(target, {
      post,
      seen: new Map(),
      story: [],
      reached: false,
      go: null,
      onReached,
      since: performance.now(),
    });
  }

  isReached = (target: string): boolean => this.targets.get(target)?.reached ?? false;

  /** What the target's session did, in order, since {@link watch}. */
  story = (target: string): Step[] => this.targets.get(target)?.story ?? [];

  /** The target's session goes on, and is not stopped again. */
  release(target: string): void {
    const watched = this.targets.get(target);
    if (!watched) return;
    watched.post = null;
    watched.go?.();
    watched.go = null;
  }

  releaseAll(): void {
    for (const target of this.targets.keys()) this.release(target);
  }

  private serve(socket: Socket): void {
    this.sockets.add(socket);
    socket.once("close", () => this.sockets.delete(socket));
    // The process was killed: that is what this is for.
    socket.on("error", () => undefined);
    const lines = createInterface({ input: socket });
    lines.on("error", () => undefined);
    lines.on("line", (line) => {
      const { id, ...effect } = JSON.parse(line) as Effect & { id: string };
      const go = () => void socket.write(`${id}\n`, () => undefined);
      if (!this.heard(effect, go)) go();
    });
  }

  /** True: the answer waits. */
  private heard(effect: Effect, go: () => void): boolean {
    for (const [target, watched] of this.targets) {
      if (effect.target !== target && !(effect.target === null || isAnybodys(effect.point))) continue;
      if (effect.target === null && !isAnybodys(effect.point)) continue;
      const key = keyOf(effect);
      const nth = (watched.seen.get(key) ?? 0) + 1;
      watched.seen.set(key, nth);
      const ms = performance.now() - watched.since;
      watched.story.push({ point: effect.point, when: effect.when, nth, ms, alive: this.alive(target) });
      const { post } = watched;
      if (!post || watched.reached || keyOf(post) !== key) continue;
      // Whose effect without a target it is, nobody knows: the first one to come is taken.
      if (nth !== post.nth && !isAnybodys(post.point)) continue;
      watched.reached = true;
      watched.go = go;
      watched.onReached();
      return true;
    }
    return false;
  }
}
