/** The temporary folder of a test run. */
import { readFileSync, rmSync } from "node:fs";
import { chmod, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exists } from "../../src/store/embedded-lock.ts";

const NAME = /^aibroker-test-(\d+)-/;

/** Makes it; it goes with this process, also after Ctrl-C. What runs that were killed have left goes first. */
export async function makeRunFolder(): Promise<string> {
  for (const name of await readdir(tmpdir())) {
    const pid = Number(NAME.exec(name)?.[1]);
    // Another user's stay.
    if (pid && !exists(pid)) await rm(join(tmpdir(), name), { recursive: true, force: true }).catch(() => undefined);
  }
  const folder = await mkdtemp(join(tmpdir(), `aibroker-test-${process.pid}-`));
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
