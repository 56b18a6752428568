/** A copy of a running Postgres' data, by its low-level backup API in SQL: the tools for that are not in our package. */
import { copyFile, mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { openPool } from "../../src/store/db.ts";

/** Folders whose files are the running server's alone; the WAL is streamed. */
const EMPTY = new Set([
  "pg_dynshmem",
  "pg_notify",
  "pg_replslot",
  "pg_serial",
  "pg_snapshots",
  "pg_stat_tmp",
  "pg_subtrans",
  "pg_wal",
]);
const OMITTED = /^(postmaster\.(pid|opts)|pg_internal\.init.*|pgsql_tmp.*)$/;

/** Copies the data of the server at `url` from one folder to another, which becomes that of its standby. */
export async function copyAsStandby(url: string, from: string, to: string): Promise<void> {
  // One connection: the backup is its session's.
  const sql = openPool({ url, statementTimeoutMs: 60_000, lockTimeoutMs: 10_000, applicationName: "faults" }, 1);
  try {
    await sql`SELECT pg_backup_start('a new standby', true)`;
    await copyFolder(from, to);
    const [row] = await sql`SELECT labelfile FROM pg_backup_stop(false)`;
    await writeFile(join(to, "backup_label"), String(row?.["labelfile"]));
    await writeFile(join(to, "standby.signal"), "");
  } finally {
    await sql.end({ timeout: 1 });
  }
}

async function copyFolder(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o700 });
  const entries = await readdir(from, { withFileTypes: true });
  await Promise.all(
    entries
      .filter(({ name }) => !OMITTED.test(name))
      .map(async (entry) => {
        const target = join(to, entry.name);
        if (!entry.isDirectory()) await copyIfThere(join(from, entry.name), target);
        else if (EMPTY.has(entry.name)) await mkdir(target, { mode: 0o700 });
        else await copyFolder(join(from, entry.name), target);
      }),
  );
}

/** A file that goes meanwhile is not needed: the WAL tells that it has gone. */
async function copyIfThere(from: string, to: string): Promise<void> {
  await copyFile(from, to).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
}
