// Loaded by `node --import` before `pitstop serve`: tells the harness of each side effect over a socket, and waits for
// its word. Without a harness that listens it stands in nobody's way.
import { connect } from "node:net";
import { createInterface } from "node:readline";

const path = process.env.PITSTOP_TEST_POSTS;
if (path && process.argv.includes("serve")) {
  let last = 0;
  const waiting = new Map();
  const socket = connect(path);
  // It must not keep a process alive that wants to end.
  socket.unref();
  const letAllGo = () => {
    for (const go of waiting.values()) go();
    waiting.clear();
  };
  socket.on("error", letAllGo);
  socket.on("close", letAllGo);
  createInterface({ input: socket }).on("line", (line) => {
    waiting.get(line)?.();
    waiting.delete(line);
  });
  globalThis[Symbol.for("pitstop.effects")] = (effect) => {
    if (socket.destroyed) return undefined;
    const id = String(++last);
    return new Promise((go) => {
      waiting.set(id, go);
      socket.write(`${JSON.stringify({ id, ...effect })}\n`);
    });
  };
}
