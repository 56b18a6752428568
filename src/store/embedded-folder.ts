/** The data folder of the embedded Postgres: where things lie in it, and whether it may be used. */
import { createHash } from "node:crypto";
import { chmod, lstat, mkdir, readFile, realpath, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chooseAccount, give } from "./embedded-account.ts";
import { findBinaries } from "./embedded-binaries.ts";
import { initialise } from "./embedded-initdb.ts";
import { isThere, type Place, unusable } from "./embedded-place.ts";
import { freePort, passwordOf } from "./embedded-windows.ts";

const PORT = 5432;

// The address of a Unix socket holds 104 bytes on macOS and 108 on Linux, with a zero at the end.
const MAX_SOCKET_BYTES = 103;

/**
 * Makes what is not there yet: the data folder, a database cluster in it, and a folder for the socket.
 * Throws DATABASE_DOWN, with what to do, if the folder cannot be used.
 */
export async function openFolder(dataDir: string, durable: boolean, packageDir?: string): Promise<Place> {
  await mkdir(dataDir, { recursive: true }).catch((cause: Error) => {
    throw unusable(`The data folder cannot be made: ${cause.message}. Set DATA_DIR.`, cause);
  });
  const real = await realpath(dataDir);
  const pgdata = join(real, "postgres");
  const account = await chooseAccount((await isThere(pgdata)) ? pgdata : real);
  const isWindows = process.platform === "win32";
  const place: Place = {
    dataDir: real,
    pgdata,
    logFile: join(real, "postgres.log"),
    socketDir: socketDirOf(real),
    port: isWindows ? await freePort() : PORT,
    password: isWindows ? await passwordOf(real) : undefined,
    binaries: await findBinaries(join(real, "postgres-lib"), packageDir),
    account,
  };
  await checkOwner(pgdata);
  if (!(await isThere(join(pgdata, "PG_VERSION")))) await initialise(place, durable);
  await checkVersion(place);
  await give(pgdata, account);
  if (!isWindows) await makeSocketDir(place);
  return place;
}

async function checkOwner(pgdata: string): Promise<void> {
  const uid = process.getuid?.() ?? 0;
  const found = await stat(pgdata).catch(() => undefined);
  if (uid === 0 || found === undefined || found.uid === uid) return;
  throw unusable(
    `The database in ${pgdata} belongs to user ${found.uid}, and this is user ${uid}. ` +
      "Run as that user, give the folder to this one (chown -R), or set DATA_DIR to another folder.",
  );
}

async function checkVersion({ pgdata, binaries }: Place): Promise<void> {
  const made = (await readFile(join(pgdata, "PG_VERSION"), "utf8")).trim();
  if (made !== binaries.version.split(".")[0]) {
    throw unusable(
      `The database in ${pgdata} was made by PostgreSQL ${made}, and PostgreSQL ${binaries.version} is installed. ` +
        "Go back to the version of ai-job-broker that made it and move the data with pg_dump and pg_restore, " +
        "or set DATA_DIR to another folder.",
    );
  }
}

/** The socket lies in the data folder; where that is too deep for a socket's address, in the system's temporary one. */
function socketDirOf(dataDir: string): string {
  const key = createHash("sha256").update(dataDir).digest("hex").slice(0, 16);
  const choices = [join(dataDir, "run"), join(tmpdir(), `aibroker-${key}`), `/tmp/aibroker-${key}`];
  const fits = (dir: string) => Buffer.byteLength(`${dir}/.s.PGSQL.${PORT}`) <= MAX_SOCKET_BYTES;
  return choices.find(fits) ?? `/tmp/aibroker-${key}`;
}

/** Whoever can reach the socket is a superuser of the database, so its folder must be closed to all others. */
async function makeSocketDir({ socketDir, account }: Place): Promise<void> {
  await mkdir(socketDir, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
  const found = await lstat(socketDir);
  const allowed = [process.getuid?.(), account.ids?.uid];
  if (!found.isDirectory() || (process.getuid !== undefined && !allowed.includes(found.uid))) {
    throw unusable(
      `The folder for the database's socket, ${socketDir}, is not ours (user ${found.uid}). Remove it, or set DATA_DIR.`,
    );
  }
  await chmod(socketDir, 0o700);
  await give(socketDir, account);
}
