/** Who owns the Postgres on a folder: this process, or another one that it is shared with. */
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { give } from "./embedded-account.ts";
import { exists, isLive, isPostmaster, type Lock, readLock, untilGone } from "./embedded-lock.ts";
import { type Place, type Run, unusable } from "./embedded-place.ts";
import { startPostgres } from "./embedded-process.ts";

export interface Tenancy extends Run {
  attached: boolean;
  place: Place;
}

const START_TIMEOUT_MS = 60_000;
const RETRY_MS = 50;
/** How long a Postgres whose owner is dead gets to end by itself, as its guard has told it, or a new owner to sign. */
const ORPHAN_GRACE_MS = 1_000;

/**
 * One Postgres on the folder: the one that lives there, or a new one. Throws DATABASE_DOWN if there is none to be had,
 * or if the signal has come, and leaves none then.
 */
export async function bringUp(place: Place, settings: Record<string, string>, signal: AbortSignal): Promise<Tenancy> {
  const since = performance.now();
  let said = "";
  let orphan = { name: "", seenAt: 0 };
  let emptySince: number | undefined;
  while (performance.now() - since < START_TIMEOUT_MS && !signal.aborted) {
    const waitedMs = performance.now() - since;
    const lock = await readLock(place.pgdata);
    if (lock !== undefined && (await isLive(lock, place.pgdata))) {
      if (lock.status === "ready" && !(await isOrphan(place, lock))) return share(place, lock);
      if (lock.status === "ready") {
        const name = `${lock.pid} ${lock.startedAt}`;
        if (orphan.name !== name) orphan = { name, seenAt: waitedMs };
        if (waitedMs - orphan.seenAt > ORPHAN_GRACE_MS) process.kill(lock.pid, "SIGINT");
      }
      said = `Process ${lock.pid} holds the folder and does not become ready (${lock.status || "starting"}).`;
    } else {
      const started = await startPostgres(place, settings, signal);
      if (started.kind === "ready") return await own(place, started.run);
      said = started.said;
      emptySince = /lock file ".+" is empty/.test(said) ? (emptySince ?? waitedMs) : undefined;
      if (!(await mayPass(place, said, waitedMs - (emptySince ?? waitedMs)))) break;
    }
    await sleep(RETRY_MS);
  }
  throw unusable(`The database in ${place.pgdata} does not start.\n${said}\nSee ${place.logFile}.`);
}

async function own(place: Place, run: Run): Promise<Tenancy> {
  try {
    await writeFile(ownerFile(place), `${process.pid}\n`, { mode: 0o600 });
    await give(ownerFile(place), place.account);
  } catch (cause) {
    await run.stop();
    throw unusable(`The data folder cannot be written to: ${(cause as Error).message}.`, cause);
  }
  return { ...run, attached: false, place };
}

/** Whether a failed start is worth another try, after clearing away what a crash has left: an empty lock since so long. */
async function mayPass(place: Place, said: string, emptyMs: number): Promise<boolean> {
  // The last sessions of a Postgres that was killed need a moment to notice.
  if (said.includes("pre-existing shared memory block")) return true;
  const held = /lock file "(.+)" (already exists|is empty)/.exec(said);
  if (held === null) return false;
  const lock = await readLock(place.pgdata);
  if (lock !== undefined && (await isLive(lock, place.pgdata))) return true;
  // A file without a pid belongs to one that starts at this moment, or died at that moment.
  if (held[2] === "is empty" && emptyMs < ORPHAN_GRACE_MS) return true;
  // Nobody lives here: the pid in the file belongs to another program by now. If not, shared memory still says no.
  await rm(join(place.pgdata, "postmaster.pid"), { force: true });
  await rm(join(place.socketDir, `.s.PGSQL.${place.port}.lock`), { force: true });
  return true;
}

/** Somebody else's Postgres; it is watched, since its end is not told to us. */
function share(place: Place, lock: Lock): Tenancy {
  const leaving = new AbortController();
  const socketDir = lock.socketDir || place.socketDir;
  return {
    attached: true,
    pid: lock.pid,
    place: { ...place, socketDir, port: lock.port || place.port },
    gone: untilGone(lock, place.pgdata, leaving.signal),
    stop: async () => leaving.abort(),
  };
}

/** Whether the broker that started it is dead, on this machine. */
async function isOrphan(place: Place, lock: Lock): Promise<boolean> {
  const owner = Number(await readFile(ownerFile(place), "utf8").catch(() => "0"));
  return owner > 0 && !exists(owner) && (await isPostmaster(lock.pid, place.pgdata));
}

function ownerFile(place: Place): string {
  return join(place.dataDir, "postgres.owner");
}
