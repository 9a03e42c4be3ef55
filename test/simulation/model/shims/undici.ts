import { theWorld } from "../world.js";

export interface HttpRequest {
  method: string;
  path: string;
  headers: Record<string, string>;
  body?: string | null;
  signal?: AbortSignal;
}

/** Connections to whatever is at the origin in the simulated world. */
export class Pool {
  constructor(private readonly origin: string) {}

  request(options: HttpRequest) {
    return theWorld().network.fromSite(this.origin, options);
  }

  async destroy(): Promise<void> {}
}

export class Client extends Pool {}

export const buildConnector = () => () => undefined;
export class Agent {}
export const request = (): Promise<never> => Promise.reject(new Error("Nothing is fetched from a store here."));
