/** The temporary folder of a test run. */
import { readFileSync, rmSync } from "node:fs";
import { access, chmod, constants, mkdtemp, readdir, rm, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exists } from "../../src/store/embedded-lock.ts";

const NAME = /^aibroker-test-(\d+)-/;

const MEMORY = "/dev/shm";
const ROOM = 2 ** 30;

/** Makes it; it goes with this process, also after Ctrl-C. What runs that were killed have left goes first. */
export async function makeRunFolder(): Promise<string> {
  const parent = await chooseParent();
  for (const name of await readdir(parent)) {
    const pid = Number(NAME.exec(name)?.[1]);
    // Another user's stay.
    if (pid && !exists(pid)) await rm(join(parent, name), { recursive: true, force: true }).catch(() => undefined);
  }
  const folder = await mkdtemp(join(parent, `aibroker-test-${process.pid}-`));
  // Tests that are another user must find their way through it.
  await chmod(folder, 0o711);
  process.once("exit", () => {
    try {
      // After Ctrl-C the server may still run, and would be surprised to find no folder.
      process.kill(
        Number.parseInt(readFileSync(join(folder, "server/postgres/postmaster.pid"), "utf8"), 10),
        "SIGKILL",
      );
    } catch {
      // It has been stopped, as it should.
    }
    try {
      rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
    } catch {
      // Something still writes there: the next run clears it away.
    }
  });
  return folder;
}

/**
 * In memory where that has plenty of room: a database for each file makes and drops 300 files each time, and ext4
 * searches long for an inode that was not in use a moment ago. It was a quarter of a run's CPU. TMPDIR decides if set.
 */
async function chooseParent(): Promise<string> {
  if (process.env["TMPDIR"] !== undefined || process.availableMemory() < 4 * ROOM) return tmpdir();
  try {
    await access(MEMORY, constants.W_OK);
    const { bavail, bsize } = await statfs(MEMORY);
    return bavail * bsize >= ROOM ? MEMORY : tmpdir();
  } catch {
    return tmpdir();
  }
}
