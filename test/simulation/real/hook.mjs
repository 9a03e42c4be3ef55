// Loaded into `serve` before it starts (node --import): faults at its side effects, jumps of its clock, and cut connections.
import { subscribe } from "node:diagnostics_channel";
import { appendFileSync, existsSync, readFileSync, statSync } from "node:fs";
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import tls from "node:tls";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { isMainThread } from "node:worker_threads";
import { scarce } from "./scarce.mjs";

/** JSON: {effects: [{id, target, point, when, nth, then: {throw: true} | {delayMs}}], clockMs, cut: {id, share}, scarceUntilMs: {disk, handles}} */
const ordersFile = process.env.PITSTOP_ATTACK_ORDERS;
/** A line for each thing that was met (world.ts reads it); an effect that is in it is not met again after a restart. */
const metFile = `${ordersFile}.met`;
const tell = (...words) => {
  if (isMainThread) appendFileSync(metFile, `${words.join(" ")}\n`);
};

/** For a soak: what a server keeps is what can be reached, and not what no collector has come to yet. In each thread of its own. */
const collectMs = Number(process.env.PITSTOP_ATTACK_COLLECT_MS ?? 0);
if (collectMs > 0) {
  setFlagsFromString("--expose-gc");
  setInterval(runInNewContext("gc"), collectMs).unref();
}

let orders = { effects: [], clockMs: 0, cut: null, scarceUntilMs: { disk: 0, handles: 0 } };
let readAt = 0;
const before = existsSync(metFile) ? readFileSync(metFile, "utf8").split("\n") : [];
const met = new Set(before.filter((line) => line.startsWith("effect ")).map((line) => line.slice("effect ".length)));
const seen = new Map();

const RealDate = Date;
const realNow = Date.now.bind(Date);
let skewMs = Number(before.findLast((line) => line.startsWith("clock "))?.split(" ")[2] ?? 0);
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
subscribe("net.server.socket", keep);
// A connection over TLS is its owner's, not the one below it.
const emit = tls.Server.prototype.emit;
tls.Server.prototype.emit = function (name, ...given) {
  if (name === "secureConnection") keep({ socket: given[0] });
  return emit.call(this, name, ...given);
};
const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...given) {
  keep({ socket: this });
  return connect.apply(this, given);
};
/** Its multiples, without their whole parts, lie nowhere close together. */
const GOLDEN = 0.618;
let lastCut = Number(before.findLast((line) => line.startsWith("cut "))?.split(" ")[1] ?? 0);

function read() {
  for (const [what, untilMs] of Object.entries(orders.scarceUntilMs)) {
    const times = scarce(what, realNow() < untilMs);
    if (times > 0) tell("scarce", what, times);
  }
  const changedAt = statSync(ordersFile).mtimeMs;
  if (changedAt === readAt) return;
  orders = JSON.parse(readFileSync(ordersFile, "utf8"));
  readAt = changedAt;
  if (orders.clockMs !== skewMs) {
    // With the true time: what was noted by a clock that jumped can be put in order again.
    tell("clock", realNow(), orders.clockMs);
    skewMs = orders.clockMs;
  }
  if (!orders.cut || orders.cut.id === lastCut) return;
  lastCut = orders.cut.id;
  // With the error that a reset from the other end gives: a socket that closes without one was closed by its owner.
  const reset = () => Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET", syscall: "read" });
  let cut = 0;
  // The share of them, evenly spread; from cut to cut it begins at another one.
  let due = (orders.cut.id * GOLDEN) % 1;
  for (const socket of sockets) {
    if (socket.listenerCount("error") === 0) continue;
    due += orders.cut.share;
    if (due < 1) continue;
    due -= 1;
    socket.destroy(reset());
    cut += 1;
  }
  tell("cut", orders.cut.id, cut);
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
  tell("effect", effect.id);
  if (effect.then.delayMs) await sleep(effect.then.delayMs);
  if (effect.then.throw) throw new Error(`the adversary's: ${when} ${point}`);
};
