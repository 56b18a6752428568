/** The binaries' folder, and the folder of the data, as they may be found. */
import { chmod, chown, mkdir, readdir, readFile, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { afterEach, describe, expect, onTestFinished, vi } from "vitest";
import { chooseAccount } from "../../src/store/embedded-account.ts";
import { findBinaries } from "../../src/store/embedded-binaries.ts";
import { openFolder } from "../../src/store/embedded-folder.ts";
import { initialise } from "../../src/store/embedded-initdb.ts";
import { isPostmaster } from "../../src/store/embedded-lock.ts";
import type { Place } from "../../src/store/embedded-place.ts";
import { test } from "../support/embedded.ts";

vi.setConfig({ testTimeout: 60_000 });

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

function onPlatform(platform: NodeJS.Platform): void {
  const real = process.platform;
  Object.defineProperty(process, "platform", { value: platform });
  onTestFinished(() => void Object.defineProperty(process, "platform", { value: real }));
}

/** A package with one library and a link that its install script has not made. */
async function givenPackage(folder: string, link = "native/lib/libicu.so.60"): Promise<string> {
  const packageDir = join(folder, "package");
  await mkdir(join(packageDir, "native", "lib"), { recursive: true });
  await writeFile(join(packageDir, "package.json"), '{"version": "18-beta"}');
  await writeFile(join(packageDir, "native", "lib", "libicu.so.60.2"), "");
  const links = [{ source: "native/lib/libicu.so.60.2", target: link }];
  await writeFile(join(packageDir, "native", "pg-symlinks.json"), JSON.stringify(links));
  return packageDir;
}

describe("a package of binaries", () => {
  test("without links needs nothing in its environment but a language", async ({ folder }) => {
    const packageDir = await givenPackage(folder);
    await rm(join(packageDir, "native", "pg-symlinks.json"));
    const found = await findBinaries(join(folder, "links"), packageDir);
    expect(found).toMatchObject({ env: ["env", "LC_ALL=C"], version: "18-beta" });
  });

  test("gets its links once, also when several brokers find it at the same moment", async ({ folder }) => {
    const packageDir = await givenPackage(folder);
    const links = join(folder, "links");
    const found = await Promise.all(Array.from({ length: 5 }, () => findBinaries(links, packageDir)));
    for (const { env } of found) expect(env).toEqual(["env", "LC_ALL=C"]);
    expect(await readlink(join(packageDir, "native", "lib", "libicu.so.60"))).toBe("libicu.so.60.2");
    expect(await readdir(folder)).not.toContain("links");
  });

  test.for([
    ["linux", "LD_LIBRARY_PATH"],
    ["darwin", "DYLD_LIBRARY_PATH"],
  ] as const)("on %s finds them by %s where they cannot be made in it", async ([platform, name], { folder }) => {
    onPlatform(platform);
    const packageDir = await givenPackage(folder, "native/absent/libicu.so.60");
    const links = join(folder, "links");
    await mkdir(links);
    await symlink("/nowhere", join(links, "libicu.so.60"));
    const { env } = await findBinaries(links, packageDir);
    const lib = join(packageDir, "native", "lib");
    expect(env).toEqual(["env", "LC_ALL=C", `${name}=${links}${delimiter}${lib}`]);
    expect(await readlink(join(links, "libicu.so.60"))).toBe(join(lib, "libicu.so.60.2"));
  });
});

describe("a database cluster that is being made", () => {
  /** A place whose initdb is a program of a few lines. */
  async function givenPlace(dataDir: string, ...initdb: string[]): Promise<Place> {
    await mkdir(dataDir);
    await chmod(join(dataDir, ".."), 0o755);
    const program = join(dataDir, "..", "initdb");
    await writeFile(program, ["#!/bin/sh", ...initdb, ""].join("\n"));
    await chmod(program, 0o755);
    return {
      dataDir,
      pgdata: join(dataDir, "postgres"),
      logFile: join(dataDir, "postgres.log"),
      socketDir: join(dataDir, "run"),
      port: 5432,
      password: undefined,
      binaries: { initdb: program, postgres: "", pgCtl: "", version: "18.4", env: [] },
      account: await chooseAccount(dataDir),
    };
  }

  test.for([
    ["in initdb's words", "echo 'no room on the disk' >&2; exit 1", /\(initdb 18\.4\): no room on the disk\nMend that/],
    ["in those of its output", "echo 'no locale'; exit 1", /\(initdb 18\.4\): no locale\nMend that/],
    ["by its command, where it says nothing", "exit 3", /Command failed: .*initdb .*\n+Mend that/],
  ] as const)("and fails says why %s, and leaves nothing", async ([, line, said], { dataDir }) => {
    const place = await givenPlace(dataDir, line);
    const made = initialise(place, false);
    await expect(made).rejects.toMatchObject({ reason: "DATABASE_DOWN", message: expect.stringMatching(said) });
    expect(await readdir(dataDir)).toEqual([]);
  });

  test("gives way to one that another broker has made meanwhile", async ({ dataDir }) => {
    const other = join(dataDir, "postgres");
    const place = await givenPlace(
      dataDir,
      'echo mine >"$2/PG_VERSION"',
      `mkdir ${other}; echo 18 >${other}/PG_VERSION`,
    );
    await initialise(place, false);
    expect(await readdir(dataDir)).toEqual(["postgres"]);
    expect(await readFile(join(other, "PG_VERSION"), "utf8")).toBe("18\n");
  });
});

describe("a data folder", () => {
  test("is refused where something else lies in the place of its socket", async ({ folder, dataDir }) => {
    const packageDir = await givenPackage(folder);
    await mkdir(join(dataDir, "postgres"), { recursive: true });
    await writeFile(join(dataDir, "postgres", "PG_VERSION"), "18-beta\n");
    await writeFile(join(dataDir, "run"), "");
    await expect(openFolder(dataDir, false, packageDir)).rejects.toMatchObject({
      reason: "DATABASE_DOWN",
      message: expect.stringMatching(
        /folder for the database's socket, .*run, is not ours .*Remove it, or set DATA_DIR/,
      ),
    });
  });

  test("that is too deep for a socket needs a temporary folder, and names it where there is none", async ({
    folder,
  }) => {
    vi.stubEnv("TMPDIR", "/absent");
    const packageDir = await givenPackage(folder);
    const dataDir = join(folder, "deep".repeat(30));
    await mkdir(join(dataDir, "postgres"), { recursive: true });
    await writeFile(join(dataDir, "postgres", "PG_VERSION"), "18-beta\n");
    await expect(openFolder(dataDir, false, packageDir)).rejects.toThrow(/ENOENT.*\/absent\/aibroker-/);
  });

  test.runIf(process.getuid?.() === 0)("belongs to the user that made its database", async ({ dataDir }) => {
    const pgdata = join(dataDir, "postgres");
    await mkdir(pgdata, { recursive: true });
    await writeFile(join(pgdata, "PG_VERSION"), "9\n");
    vi.spyOn(process, "getuid").mockReturnValue(1_234);
    await expect(openFolder(dataDir, false)).rejects.toThrow(
      /belongs to user 0, and this is user 1234\. Run as that user/,
    );
    await chown(pgdata, 1_234, 1_234);
    await expect(openFolder(dataDir, false)).rejects.toThrow(/was made by PostgreSQL 9, and PostgreSQL 18/);
  });
});

describe("whether a process is the Postgres of a folder", () => {
  const parent = process.ppid;

  test("is told by what its command says, on every Unix", async ({ folder }) => {
    const script = join(folder, "script");
    const [, argument = ""] = (await readFile(`/proc/${parent}/cmdline`, "utf8")).split("\0");
    for (const platform of ["linux", "darwin"] as const) {
      onPlatform(platform);
      expect(await isPostmaster(parent, script), platform).toBe(false);
    }
    expect(argument).not.toBe(script);
  });

  test("is believed where its command cannot be seen", async ({ folder }) => {
    onPlatform("darwin");
    vi.stubEnv("PATH", folder);
    expect(await isPostmaster(parent, folder)).toBe(true);
    onPlatform("win32");
    expect(await isPostmaster(parent, folder)).toBe(true);
    expect(await isPostmaster(4_194_999, folder)).toBe(false);
  });
});
