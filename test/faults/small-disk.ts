/** A Postgres whose data lie on a disk of their own, which is full when we say so. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, statfs, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Cluster, dataDirOf, openCluster } from "./ground.ts";

export interface SmallDisk extends Cluster {
  /** From now on so many more bytes can be written, and then none. */
  fill(leftBytes: number): Promise<void>;
  /** There is room again. */
  free(): Promise<void>;
}

const run = promisify(execFile);
/** In memory, and only as much of it as is used. */
const ROOM = "1g";
/** So little WAL is kept that a new file of it is soon needed. */
const SETTINGS = { min_wal_size: "32MB", max_wal_size: "48MB" };
const TRIES = 20;
const MORE_BYTES = 65_536;

/** Why there can be none here; undefined where there can. */
export async function noSmallDisk(): Promise<string | undefined> {
  const folder = await mkdtemp(join(tmpdir(), "aibroker-disk-"));
  try {
    const disk = await Disk.mount(join(folder, "disk"));
    await disk.fill(0).finally(() => disk.unmount());
    return undefined;
  } catch (error) {
    const said = (error as { stderr?: string }).stderr || String(error);
    return `a disk in memory cannot be mounted here: ${said.trim().split("\n")[0]}`;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export async function openSmallDisk(folder: string): Promise<SmallDisk> {
  const disk = await Disk.mount(dataDirOf(folder));
  try {
    // What Postgres says is to be read when the disk is full, and when it is gone.
    await symlink(join(folder, "postgres.log"), join(dataDirOf(folder), "postgres.log"));
    const cluster = await openCluster(folder, SETTINGS);
    return {
      ...cluster,
      fill: (leftBytes) => disk.fill(leftBytes),
      free: () => disk.free(),
      stop: () => cluster.stop().finally(() => disk.unmount()),
    };
  } catch (error) {
    await disk.unmount();
    throw error;
  }
}

/** A tmpfs that goes with this process, however that ends. It is full when its size is what is used of it. */
class Disk {
  readonly #folder: string;
  readonly unmount: () => Promise<void>;

  private constructor(folder: string, unmount: () => Promise<void>) {
    this.#folder = folder;
    this.unmount = unmount;
  }

  static async mount(folder: string): Promise<Disk> {
    await mkdir(folder, { recursive: true });
    await run("mount", ["-t", "tmpfs", "-o", `size=${ROOM},mode=0755`, "aibroker-faults", folder]);
    return new Disk(folder, guarded(folder));
  }

  async fill(leftBytes: number): Promise<void> {
    // Others write meanwhile, and it cannot be smaller than what is used.
    for (let tried = 1; ; tried++) {
      const { blocks, bfree, bsize } = await statfs(this.#folder);
      const bytes = (blocks - bfree) * bsize + leftBytes + (tried - 1) * MORE_BYTES;
      try {
        return await this.#resize(String(bytes));
      } catch (error) {
        if (tried === TRIES) throw error;
      }
    }
  }

  async free(): Promise<void> {
    await this.#resize(ROOM);
  }

  async #resize(size: string): Promise<void> {
    await run("mount", ["-o", `remount,size=${size}`, this.#folder]);
  }
}

/** Unmounts when it is called, or when this process is gone: a shell that is left behind reads until our end is closed. */
function guarded(folder: string): () => Promise<void> {
  const guard = spawn("sh", ["-c", 'read -r _; exec umount -l "$0"', folder], {
    stdio: ["pipe", "ignore", "inherit"],
    // Ctrl-C in the terminal does not reach it.
    detached: true,
  });
  const gone = once(guard, "exit");
  return async () => {
    guard.stdin.end();
    await gone;
  };
}
