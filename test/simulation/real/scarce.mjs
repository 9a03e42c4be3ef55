// Loaded by hook.mjs: for a while the disk has no room for the server's data, or the process has no file handle left.
import { subscribe } from "node:diagnostics_channel";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import net from "node:net";

const data = `${process.env.PITSTOP_DATA}/`;
/** What is scarce now, and how often somebody met that. */
const met = { disk: 0, handles: 0 };
const now = { disk: false, handles: false };

/** Begins it or ends it; returns how often it was met since the last word. */
export function scarce(what, is) {
  now[what] = is;
  const times = met[what];
  met[what] = 0;
  return times;
}

const CODES = { disk: ["ENOSPC", "no space left on device", -28], handles: ["EMFILE", "too many open files", -24] };
function refused(what, syscall) {
  met[what] += 1;
  const [code, text, errno] = CODES[what];
  return Object.assign(new Error(`${code}: ${text}, ${syscall}`), { code, errno, syscall });
}

const { existsSync, fstatSync, readlinkSync, constants } = fs;
const isOurs = (path) => String(path instanceof URL ? path.pathname : path).startsWith(data);
const isOurFd = (fd) => {
  try {
    return isOurs(readlinkSync(`/proc/self/fd/${fd}`));
  } catch {
    return false;
  }
};
const makes = (flags) => (typeof flags === "number" ? (flags & constants.O_CREAT) !== 0 : /[wa]/.test(flags ?? "r"));

/** Each gives the error of a call that meets what is scarce, or null. Reading needs a handle; only what grows needs room. */
const opens = (path, flags) => {
  if (!isOurs(path)) return null;
  if (now.handles) return refused("handles", "open");
  return now.disk && makes(flags) && !existsSync(path) ? refused("disk", "open") : null;
};
const reads = (path) => (now.handles && isOurs(path) ? refused("handles", "open") : null);
const writesFile = (path) => {
  if (typeof path === "number" || !isOurs(path)) return null;
  if (now.handles) return refused("handles", "open");
  return now.disk ? refused("disk", "write") : null;
};
const copies = (_from, to) => writesFile(to);
const makesFolder = (path) => (now.disk && isOurs(path) && !existsSync(path) ? refused("disk", "mkdir") : null);
const writes = (fd, buffer, _offset, length, position) => {
  if (!now.disk || !isOurFd(fd)) return null;
  const bytes = typeof length === "number" ? length : (buffer?.length ?? 0);
  const grows = typeof position !== "number" || position + bytes > fstatSync(fd).size;
  return grows ? refused("disk", "write") : null;
};

const CALLS = {
  open: opens,
  readFile: reads,
  readdir: reads,
  opendir: reads,
  writeFile: writesFile,
  appendFile: writesFile,
  copyFile: copies,
  mkdir: makesFolder,
  write: writes,
};
for (const [name, refusal] of Object.entries(CALLS)) {
  const real = { sync: fs[`${name}Sync`], callback: fs[name], promise: fs.promises[name] };
  fs[`${name}Sync`] = (...given) => {
    const error = refusal(...given);
    if (error) throw error;
    return real.sync(...given);
  };
  fs[name] = (...given) => {
    const error = refusal(...given);
    if (!error) return real.callback(...given);
    process.nextTick(given.at(-1), error);
  };
  if (!real.promise) continue;
  fs.promises[name] = async (...given) => {
    const error = refusal(...given);
    if (error) throw error;
    return await real.promise(...given);
  };
}
syncBuiltinESMExports();

const handle = await fs.promises.open(process.execPath, "r");
const FileHandle = Object.getPrototypeOf(handle);
await handle.close();
for (const name of ["write", "writeFile", "appendFile"]) {
  const real = FileHandle[name];
  FileHandle[name] = async function (...given) {
    const error = name === "write" ? writes(this.fd, ...given) : writes(this.fd, given[0]);
    if (error) throw error;
    return await real.apply(this, given);
  };
}

// libuv takes what it cannot keep and closes it; who opens a connection is told.
subscribe("net.server.socket", ({ socket }) => {
  if (!now.handles) return;
  met.handles += 1;
  socket.destroy();
});
const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...given) {
  if (!now.handles) return connect.apply(this, given);
  process.nextTick(() => this.destroy(refused("handles", "connect")));
  return this;
};
