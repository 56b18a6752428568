/** postmaster.pid, the file by which a running Postgres holds its folder. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const WATCH_MS = 500;

export interface Lock {
  pid: number;
  /** When it was started, as it wrote it: in containers pids come again soon. */
  startedAt: string;
  port: number;
  socketDir: string;
  /** "starting", "ready", "stopping", or "" in the first moment. */
  status: string;
}

/** Reads the lock of a data folder; undefined if nobody holds or left one, or if it is not whole yet. */
export async function readLock(pgdata: string): Promise<Lock | undefined> {
  const text = await readFile(join(pgdata, "postmaster.pid"), "utf8").catch(() => "");
  const [pid, , startedAt, port, socketDir, , , status] = text.split("\n").map((line) => line.trim());
  if (!Number(pid)) return undefined;
  // A negative pid is a Postgres in single-user mode.
  return {
    pid: Math.abs(Number(pid)),
    startedAt: startedAt ?? "",
    port: Number(port),
    socketDir: socketDir ?? "",
    status: status ?? "",
  };
}

/**
 * Whether the holder of a lock lives. After a crash its pid may belong to another program, so the program is looked at;
 * and from another container its pid cannot be seen, so its socket counts as well.
 */
export async function isLive(lock: Lock, pgdata: string): Promise<boolean> {
  if (await isPostmaster(lock.pid, pgdata)) return true;
  return lock.socketDir !== "" && (await answers(`${lock.socketDir}/.s.PGSQL.${lock.port}`));
}

/**
 * Resolves when the holder of a lock is gone, seen half a second later at most, or when the signal comes. Another one
 * may have come by then, which answers at the same address: that the folder is still held by this one counts as well.
 */
export async function untilGone(lock: Lock, pgdata: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted && (await holds(lock, pgdata)) && (await isLive(lock, pgdata))) {
    await sleep(WATCH_MS, undefined, { signal, ref: false }).catch(() => undefined);
  }
}

/** Unless the file names another one: that it cannot be read says nothing. */
async function holds(lock: Lock, pgdata: string): Promise<boolean> {
  const now = await readLock(pgdata);
  return now === undefined || (now.pid === lock.pid && now.startedAt === lock.startedAt);
}

/** Whether a process exists; one of another user counts. */
export function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Whether a pid is that of a Postgres on this folder, as far as can be seen. */
export async function isPostmaster(pid: number, pgdata: string): Promise<boolean> {
  if (!exists(pid)) return false;
  const command = await commandOf(pid);
  // A process about to be a zombie has no command line left; one that hides it gets the benefit of the doubt.
  return command === undefined || command.split("\0").includes(pgdata) || command.includes(`-D ${pgdata}`);
}

async function commandOf(pid: number): Promise<string | undefined> {
  if (process.platform === "win32") return undefined;
  if (process.platform === "linux") return await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => undefined);
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  execFile("ps", ["-o", "args=", "-p", String(pid)], (error, out) => resolve(error === null ? out : undefined));
  return await promise;
}

async function answers(socketPath: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = createConnection(socketPath);
  socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}
