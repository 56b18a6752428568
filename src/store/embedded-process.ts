/** One run of the embedded Postgres, from its start to its end. */
import { type ChildProcess, spawn } from "node:child_process";
import { open, readFile, rename, stat } from "node:fs/promises";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { give } from "./embedded-account.ts";
import { readLock } from "./embedded-lock.ts";
import type { Place, Run } from "./embedded-place.ts";
import { startOnWindows } from "./embedded-windows.ts";

/** How a start ended: Postgres is ready, or it left, saying why. */
export type Started = { kind: "ready"; run: Run } | { kind: "exited"; said: string };

const POLL_MS = 10;
const MAX_LOG_BYTES = 10_000_000;
const LAST_LINES = 10;

/** Fast: sessions are cut, all is written. Immediate: the next start replays the log. Then there is only one way left. */
const STOPS: [NodeJS.Signals, number][] = [
  ["SIGINT", 30_000],
  ["SIGQUIT", 5_000],
  ["SIGKILL", 5_000],
];

/**
 * Runs its arguments as a program, under its own pid, and a guard that outlives it: when the broker is gone, the pipe
 * at descriptor 3 ends and the guard has Postgres shut down, by force after 30 s. So a broker that is killed leaves no
 * Postgres behind, on every Unix and as any user.
 */
const GUARDED = `
( (
  trap "" INT TERM HUP
  read -r _ <&3
  kill -INT $$ || exit
  left=30
  while [ $left -gt 0 ]; do
    sleep 1 || exit
    kill -0 $$ || exit
    left=$((left - 1))
  done
  kill -QUIT $$
) >/dev/null 2>&1 & )
exec 3<&-
exec "$@"`;

/**
 * Starts Postgres on a folder and waits until it takes connections or leaves. There is no timeout: after a crash it may
 * have a lot to replay, and starting over would not be faster. The signal ends it.
 */
export async function startPostgres(
  place: Place,
  settings: Record<string, string>,
  signal: AbortSignal,
): Promise<Started> {
  const from = await trimLog(place);
  if (place.password !== undefined) {
    const run = await startOnWindows(place, serverOptions(place, settings));
    return run === undefined ? { kind: "exited", said: await readLog(place, from) } : { kind: "ready", run };
  }
  const { child, end } = await spawnPostgres(place, settings);
  const gone = end.then(() => undefined);
  let isGone = false;
  const guard = child.stdio[3] as Duplex;
  void gone.then(() => {
    isGone = true;
    guard.destroy();
  });
  while (!isGone) {
    const lock = await readLock(place.pgdata);
    if (lock?.pid === child.pid && lock?.status === "ready") {
      return { kind: "ready", run: { pid: lock.pid, gone, stop: () => stopChild(child, gone) } };
    }
    if (signal.aborted) await stopChild(child, gone);
    else await Promise.race([gone, sleep(POLL_MS)]);
  }
  const [failure, said] = [await end, await readLog(place, from)];
  return { kind: "exited", said: [failure, said].filter((text) => text !== "").join("\n") };
}

interface Spawned {
  child: ChildProcess;
  /** Resolves when it is gone, with the reason why it could not be started, or nothing. */
  end: Promise<string>;
}

async function spawnPostgres(place: Place, settings: Record<string, string>): Promise<Spawned> {
  const { account, binaries, pgdata } = place;
  const options = serverOptions(place, settings);
  const program = [...account.prefix, ...binaries.env, binaries.postgres, "-D", pgdata, ...options];
  const log = await open(place.logFile, "a", 0o600);
  try {
    await give(place.logFile, account);
    const child = spawn("sh", ["-c", GUARDED, "sh", ...program], {
      cwd: place.dataDir,
      stdio: ["ignore", log.fd, log.fd, "pipe"],
      // A session of its own: Ctrl-C in the terminal reaches only the broker, which still needs the database to drain.
      detached: true,
      ...account.ids,
    });
    // Heard from this moment on: a Postgres that refuses to start can be gone before the log file is closed.
    const { promise: end, resolve } = Promise.withResolvers<string>();
    child.once("exit", () => resolve(""));
    child.once("error", (error) => resolve(error.message));
    // The guard closes its end first when it is killed; that must not hurt us.
    (child.stdio[3] as Duplex).on("error", () => undefined);
    // A program that forgets to stop its database can end all the same; the guard does the rest.
    child.unref();
    (child.stdio[3] as Duplex & { unref(): void }).unref();
    return { child, end };
  } finally {
    await log.close();
  }
}

function serverOptions({ password, port, socketDir }: Place, settings: Record<string, string>): string[] {
  const address =
    password === undefined
      ? { listen_addresses: "", unix_socket_directories: socketDir, unix_socket_permissions: "0700" }
      : { listen_addresses: "127.0.0.1" };
  // The log is on the user's disk: no values of rows in it.
  const all = { ...address, port, log_error_verbosity: "terse", log_checkpoints: "off", ...settings };
  return Object.entries(all).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
}

async function stopChild(child: ChildProcess, gone: Promise<void>): Promise<void> {
  child.ref();
  for (const [signal, waitMs] of STOPS) {
    child.kill(signal);
    const waiting = new AbortController();
    const late = sleep(waitMs, true, { signal: waiting.signal }).catch(() => false);
    const isLate = await Promise.race([gone.then(() => false), late]);
    waiting.abort();
    if (!isLate) return;
  }
  await gone;
}

/** Keeps the log from growing for ever, and tells where this run's part of it begins. */
async function trimLog({ logFile }: Place): Promise<number> {
  const { size } = await stat(logFile).catch(() => ({ size: 0 }));
  if (size <= MAX_LOG_BYTES) return size;
  await rename(logFile, `${logFile}.old`);
  return 0;
}

async function readLog({ logFile }: Place, from: number): Promise<string> {
  const bytes = await readFile(logFile).catch(() => Buffer.alloc(0));
  return bytes.subarray(from).toString("utf8").trim().split("\n").slice(-LAST_LINES).join("\n");
}
