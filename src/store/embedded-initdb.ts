/** Makes a database cluster, whole or not at all. */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { give } from "./embedded-account.ts";
import { exists } from "./embedded-lock.ts";
import { isThere, type Place, unusable } from "./embedded-place.ts";
import { passwordFile } from "./embedded-windows.ts";

const WRECK = /^postgres-new-(\d+)-[0-9a-f]{8}$/;
const WRECK_AGE_MS = 600_000;
const INITDB_TIMEOUT_MS = 120_000;

/**
 * Runs initdb beside the cluster's place and moves the cluster there when it is whole, so a crash half-way leaves only
 * a folder that the next start removes. Of two brokers at once, the first to be ready wins and the other uses its work.
 */
export async function initialise(place: Place, durable: boolean): Promise<void> {
  await removeWrecks(place.dataDir);
  const fresh = join(place.dataDir, `postgres-new-${process.pid}-${randomBytes(4).toString("hex")}`);
  await mkdir(fresh, { mode: 0o700 }).catch((cause: Error) => {
    throw unusable(`The data folder cannot be written to: ${cause.message}. Set DATA_DIR.`, cause);
  });
  try {
    await give(fresh, place.account);
    await runInitdb(place, fresh, durable);
    await moveTo(place.pgdata, fresh);
    await syncFolder(place.dataDir);
  } catch (error) {
    await removeTree(fresh);
    if (await isThere(join(place.pgdata, "PG_VERSION"))) return;
    throw error;
  }
}

async function moveTo(pgdata: string, fresh: string): Promise<void> {
  await rename(fresh, pgdata).catch((cause: Error) => {
    throw unusable(
      `${pgdata} is there and holds no database (${cause.message}). Move it away, or set DATA_DIR to another folder.`,
      cause,
    );
  });
}

async function runInitdb(place: Place, folder: string, durable: boolean): Promise<void> {
  const { account, binaries, dataDir, password } = place;
  const trust = password === undefined ? ["-A", "trust"] : ["-A", "scram-sha-256", "--pwfile", passwordFile(dataDir)];
  const args = ["-D", folder, "-U", "postgres", ...trust, "-E", "UTF8", "--locale=C"];
  if (!durable) args.push("--no-sync");
  const [program = "", ...rest] = [...account.prefix, ...binaries.env, binaries.initdb, ...args];
  const { promise, resolve } = Promise.withResolvers<{ failed: string; said: string }>();
  const options = { timeout: INITDB_TIMEOUT_MS, cwd: dataDir, ...account.ids };
  execFile(program, rest, options, (error, stdout, stderr) => {
    resolve({ failed: error === null ? "" : error.message, said: stderr.trim() || stdout.trim() });
  });
  const { failed, said } = await promise;
  if (failed === "") return;
  const reason = said || failed;
  throw unusable(
    `The database in ${dataDir} could not be made (initdb ${binaries.version}): ${reason}\n` +
      "Mend that, set DATA_DIR to another folder, or set DATABASE_URL to a Postgres of your own.",
  );
}

async function removeWrecks(dataDir: string): Promise<void> {
  for (const name of await readdir(dataDir)) {
    const pid = Number(WRECK.exec(name)?.[1]);
    if (!pid) continue;
    const path = join(dataDir, name);
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Date.now() }));
    if (!exists(pid) || Date.now() - mtimeMs > WRECK_AGE_MS) await removeTree(path);
  }
}

/** An initdb whose broker was killed may be writing there still; what is left then is for the start after this one. */
async function removeTree(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true, maxRetries: 3 }).catch(() => undefined);
}

async function syncFolder(path: string): Promise<void> {
  if (process.platform === "win32") return;
  const folder = await open(path);
  await folder.sync().finally(() => folder.close());
}
