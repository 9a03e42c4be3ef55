import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { Catalogue } from "../catalogue/catalogue.js";
import type { EventBus } from "./events.js";

export interface Metrics {
  registry: Registry;
  watchers: Gauge;
  request(method: string, route: string, status: number, seconds: number): void;
  /** Takes its hands off the events. */
  close(): void;
}

/** Metrics in the Prometheus text format; labels are bounded sets (routes as patterns, never targets or paths). */
export function makeMetrics(catalogue: Catalogue, events: EventBus): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const requests = new Histogram({
    name: "pitstop_http_request_duration_seconds",
    help: "Time to answer a request of the API, event streams apart",
    labelNames: ["method", "route", "status"],
    buckets: [0.005, 0.02, 0.1, 0.5, 2, 10],
    registers,
  });
  const ended = new Counter({
    name: "pitstop_sessions_ended_total",
    help: "Maintenance sessions that ended since this process started",
    labelNames: ["outcome", "ending"],
    registers,
  });
  const watchers = new Gauge({ name: "pitstop_event_watchers", help: "Open event streams", registers });
  new Gauge({
    name: "pitstop_sessions_open",
    help: "Maintenance sessions that are open, by phase; stranded ones wait for a person",
    labelNames: ["phase"],
    registers,
    async collect() {
      this.reset();
      this.set({ phase: "stranded" }, 0);
      for (const record of await catalogue.listRecords({ open: true, limit: 1000 })) this.inc({ phase: record.phase });
    },
  });
  const stop = events.subscribe((event) => {
    if (event.type === "session.ended") ended.inc({ outcome: event.outcome ?? "none", ending: event.ending ?? "none" });
  });
  return {
    registry,
    watchers,
    request: (method, route, status, seconds) => requests.observe({ method, route, status: String(status) }, seconds),
    close: stop,
  };
}
