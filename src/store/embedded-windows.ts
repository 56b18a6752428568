/**
 * The embedded Postgres on Windows: without Unix sockets, so on TCP at 127.0.0.1 with a password, and started by
 * pg_ctl, which gives up an administrator's rights for it. There is no guard: what a killed broker leaves running is
 * ended by the next start.
 */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { readLock, untilGone } from "./embedded-lock.ts";
import type { Place, Run } from "./embedded-place.ts";

/** Where the superuser's password lies; the folder is the user's own. */
export function passwordFile(dataDir: string): string {
  return join(dataDir, "postgres.password");
}

/** The password of a data folder, made at the first call. */
export async function passwordOf(dataDir: string): Promise<string> {
  const file = passwordFile(dataDir);
  await writeFile(file, randomBytes(24).toString("hex"), { flag: "wx", mode: 0o600 }).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    },
  );
  return (await readFile(file, "utf8")).trim();
}

/** A port that nobody listens on at the moment. */
export async function freePort(): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const server = createServer().once("error", reject);
  server.listen(0, "127.0.0.1", () => {
    const address = server.address();
    server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
  });
  return await promise;
}

/** Starts Postgres and waits until it takes connections; undefined if it does not start: the log says why. */
export async function startOnWindows(place: Place, options: string[]): Promise<Run | undefined> {
  const { binaries, logFile, pgdata } = place;
  const quoted = options.map((option) => (option.includes("=") ? `"${option}"` : option)).join(" ");
  if (!(await succeeds(binaries.pgCtl, ["start", "-D", pgdata, "-l", logFile, "-w", "-t", "60", "-o", quoted]))) return;
  const lock = await readLock(pgdata);
  if (lock === undefined) return;
  const leaving = new AbortController();
  const stop = async () => {
    await succeeds(binaries.pgCtl, ["stop", "-D", pgdata, "-m", "fast", "-w", "-t", "30"]);
    leaving.abort();
  };
  return { pid: lock.pid, gone: untilGone(lock, pgdata, leaving.signal), stop };
}

async function succeeds(program: string, args: string[]): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  // No pipes: the server would inherit them, and they would not end before it does.
  execFile(program, args, { windowsHide: true }, (error) => resolve(error === null)).stdout?.destroy();
  return await promise;
}
