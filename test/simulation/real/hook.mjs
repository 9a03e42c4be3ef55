// Loaded into `serve` before it starts (node --import): faults at its side effects, jumps of its clock, and cut connections.
import { subscribe } from "node:diagnostics_channel";
import { appendFileSync, existsSync, readFileSync, statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** JSON: {effects: [{id, target, point, when, nth, then: {throw: true} | {delayMs}}], clockMs, cut: {id, share}} */
const ordersFile = process.env.PITSTOP_ATTACK_ORDERS;
/** A line for each effect that was met, so that it is not met again after a restart. */
const metFile = `${ordersFile}.met`;

let orders = { effects: [], clockMs: 0, cut: null };
let readAt = 0;
const met = new Set(existsSync(metFile) ? readFileSync(metFile, "utf8").split("\n") : []);
const seen = new Map();

const RealDate = Date;
const realNow = Date.now.bind(Date);
let skewMs = 0;
globalThis.Date = class extends RealDate {
  constructor(...given) {
    if (given.length === 0) super(realNow() + skewMs);
    else super(...given);
  }
  static now() {
    return realNow() + skewMs;
  }
};

const sockets = new Set();
const keep = ({ socket }) => {
  sockets.add(socket);
  socket.once("close", () => sockets.delete(socket));
};
subscribe("net.client.socket", keep);
subscribe("net.server.socket", keep);
let lastCut = null;

function read() {
  const changedAt = statSync(ordersFile).mtimeMs;
  if (changedAt === readAt) return;
  orders = JSON.parse(readFileSync(ordersFile, "utf8"));
  readAt = changedAt;
  skewMs = orders.clockMs ?? 0;
  if (!orders.cut || orders.cut.id === lastCut) return;
  lastCut = orders.cut.id;
  // With the error that a reset from the other end gives: a socket that closes without one was closed by its owner.
  const reset = () => Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET", syscall: "read" });
  for (const socket of sockets) {
    if (Math.random() < orders.cut.share && socket.listenerCount("error") > 0) socket.destroy(reset());
  }
}
read();
setInterval(() => {
  try {
    read();
  } catch {
    // It is being written; the next look finds it whole.
  }
}, 200).unref();

globalThis[Symbol.for("pitstop.effects")] = async ({ point, when, target }) => {
  if (target === null) return;
  const key = `${target} ${when} ${point}`;
  const nth = (seen.get(key) ?? 0) + 1;
  seen.set(key, nth);
  const effect = orders.effects.find(
    (one) => one.target === target && one.point === point && one.when === when && one.nth <= nth && !met.has(one.id),
  );
  if (!effect) return;
  met.add(effect.id);
  appendFileSync(metFile, `${effect.id}\n`);
  if (effect.then.delayMs) await sleep(effect.then.delayMs);
  if (effect.then.throw) throw new Error(`the adversary's: ${when} ${point}`);
};
