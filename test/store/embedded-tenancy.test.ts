/** Who owns a Postgres, in the moments that real ones seldom have: a program of a few lines stands in for Postgres. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, readdir, readFile, stat, truncate, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { expect, vi } from "vitest";
import { exists } from "../../src/store/embedded-lock.ts";
import type { Place } from "../../src/store/embedded-place.ts";
import { startPostgres } from "../../src/store/embedded-process.ts";
import { bringUp } from "../../src/store/embedded-tenancy.ts";
import { test as base } from "../support/embedded.ts";
import { until } from "../support/until.ts";

/** How long a program that does not hear a signal is waited for: as long as it takes, in a tenth of a second. */
vi.mock(import("node:timers/promises"), async (original) => {
  const timers = await original();
  const setTimeout: typeof timers.setTimeout = (ms = 0, ...rest) => timers.setTimeout(ms >= 5_000 ? 100 : ms, ...rest);
  return { ...timers, setTimeout };
});

type Ends = (() => unknown)[];

/** What is to be done before the folder goes. */
const test = base.extend<{ ends: Ends }>({
  ends: async ({ dataDir: _ }, use) => {
    const ends: Ends = [];
    await use(ends);
    for (const end of ends) await end();
  },
});

const never = new AbortController().signal;
/** Of a process that is gone. */
const GONE = 4_194_999;

/** Writes a lock as a Postgres that is ready does, then does as it is told. */
const READY = 'printf "$$\\n$2\\n0\\n5432\\n%s\\n\\n\\nready\\n" "$SOCKETS" >"$2/postmaster.pid"';
/** Waits to be ended; a shell hears its signals between these. */
const STAY = "while :; do sleep 0.02; done";
const LEAVE = 'rm -f "$2/postmaster.pid"; exit 0';

/** A place where these lines are what runs as Postgres, as this user. */
async function givenPlace(dataDir: string, ...lines: string[]): Promise<Place> {
  const pgdata = join(dataDir, "postgres");
  await mkdir(pgdata, { recursive: true });
  const postgres = join(dataDir, "program");
  await writeFile(postgres, ["#!/bin/sh", ...lines, ""].join("\n"));
  await chmod(postgres, 0o755);
  return {
    dataDir,
    pgdata,
    logFile: join(dataDir, "postgres.log"),
    socketDir: join(dataDir, "run"),
    port: 5432,
    password: undefined,
    binaries: { initdb: "", postgres, pgCtl: "", version: "18.4", env: [] },
    account: { prefix: [] },
  };
}

/** Runs the place's program as another broker would, and waits until it holds the folder. */
async function givenOther(place: Place, ends: Ends): Promise<{ child: ChildProcess; pid: number }> {
  const child = spawn(place.binaries.postgres, ["-D", place.pgdata], { stdio: "ignore" });
  const gone = once(child, "exit");
  ends.push(async () => {
    child.kill("SIGKILL");
    await gone;
  });
  await until("it holds the folder", async () => (await readdir(place.pgdata)).includes("postmaster.pid"));
  return { child, pid: child.pid ?? Number.NaN };
}

const holds = `trap '${LEAVE}' INT; ${READY}; ${STAY}`;

test("a start is tried again while the sessions of a killed Postgres have not noticed", async ({ dataDir, ends }) => {
  const seen = join(dataDir, "seen");
  const place = await givenPlace(
    dataDir,
    `[ -e ${seen} ] || { touch ${seen}; echo "FATAL:  pre-existing shared memory block is still in use"; exit 1; }`,
    holds,
  );
  const tenancy = await bringUp(place, {}, never);
  ends.push(() => tenancy.stop());
  expect(tenancy.attached).toBe(false);
  expect(await readFile(place.logFile, "utf8")).toContain("pre-existing shared memory block");
  expect(await readFile(join(dataDir, "postgres.owner"), "utf8")).toBe(`${process.pid}\n`);
});

test("a start that another broker was quicker at shares what that one has started", async ({ dataDir, ends }) => {
  const place = await givenPlace(dataDir, holds);
  const quicker = await givenOther(place, ends);
  const lock = join(place.pgdata, "postmaster.pid");
  const text = await readFile(lock, "utf8");
  await writeFile(lock, "");
  const late = await givenPlace(
    dataDir,
    `printf '${text}' >${lock}`,
    `echo 'lock file "${lock}" already exists'; exit 1`,
  );
  const tenancy = await bringUp(late, {}, never);
  expect(tenancy).toMatchObject({ attached: true, pid: quicker.pid, place: { socketDir: place.socketDir } });
  await tenancy.stop();
  expect(exists(quicker.pid)).toBe(true);
});

test("a Postgres whose lock names no socket is looked for in the folder's own", async ({ dataDir, ends }) => {
  const place = await givenPlace(dataDir, holds);
  const { pid } = await givenOther(place, ends);
  await writeFile(join(place.pgdata, "postmaster.pid"), `${pid}\n${place.pgdata}\n0\n0\n\n\n\nready\n`);
  const { attached, place: found, stop } = await bringUp(place, {}, never);
  expect({ attached, found }).toEqual({ attached: true, found: place });
  await stop();
});

test("one that holds the folder and does not become ready is named when the waiting ends", async ({
  dataDir,
  ends,
}) => {
  const place = await givenPlace(dataDir, holds);
  const { pid } = await givenOther(place, ends);
  await writeFile(join(place.pgdata, "postmaster.pid"), `${pid}\n${place.pgdata}\n`);
  const ending = new AbortController();
  const brought = bringUp(place, {}, ending.signal);
  ending.abort();
  await expect(brought).rejects.toMatchObject({ reason: "DATABASE_DOWN" });
  await expect(brought).rejects.toThrow(`Process ${pid} holds the folder and does not become ready (starting).`);
});

test("an orphan that does not end by itself is told to, and replaced", async ({ dataDir, ends }) => {
  const place = await givenPlace(dataDir, holds);
  const orphan = await givenOther(place, ends);
  await writeFile(join(dataDir, "postgres.owner"), `${GONE}\n`);
  const tenancy = await bringUp(place, {}, never);
  ends.push(() => tenancy.stop());
  expect(tenancy.attached).toBe(false);
  expect(tenancy.pid).not.toBe(orphan.pid);
  expect(orphan.child.exitCode).toBe(0);
});

test("one that took a while to start is given its time to sign", async ({ dataDir, ends }) => {
  const place = await givenPlace(dataDir, holds);
  const other = await givenOther(place, ends);
  await writeFile(join(dataDir, "postgres.owner"), `${GONE}\n`);
  const now = performance.now.bind(performance);
  let looks = 0;
  // It is waited for since a minute, less a little, and ready only now.
  const clock = vi.spyOn(performance, "now").mockImplementation(() => now() + (looks++ > 0 ? 50_000 : 0));
  ends.push(() => clock.mockRestore());
  const brought = bringUp(place, {}, never);
  await until("it was looked at some times", () => looks > 9);
  await writeFile(join(dataDir, "postgres.owner"), `${process.pid}\n`);
  const tenancy = await brought;
  expect(tenancy).toMatchObject({ attached: true, pid: other.pid });
  await tenancy.stop();
  expect(exists(other.pid)).toBe(true);
});

test("its end is seen by those who share it, also where another answers at its address at once", async ({
  dataDir,
  ends,
}) => {
  const place = await givenPlace(dataDir, holds);
  const first = await givenOther(place, ends);
  const lock = (pid: number, since: number) =>
    writeFile(
      join(place.pgdata, "postmaster.pid"),
      `${pid}\n${place.pgdata}\n${since}\n5432\n${place.socketDir}\n\n\nready\n`,
    );
  await mkdir(place.socketDir);
  const server = createServer((socket) => socket.destroy()).listen(join(place.socketDir, ".s.PGSQL.5432"));
  await once(server, "listening");
  ends.push(() => server.close());
  // Another one, and one that has the pid of the one before, as in a container that was started again.
  for (const next of [lock.bind(null, first.pid + 1, 7), lock.bind(null, first.pid, 8)]) {
    await lock(first.pid, 7);
    const tenancy = await bringUp(place, {}, never);
    expect(tenancy.attached).toBe(true);
    await next();
    await tenancy.gone;
  }
});

test("one that cannot say whose it is does not stay", async ({ dataDir }) => {
  const place = await givenPlace(dataDir, holds);
  await mkdir(join(dataDir, "postgres.owner"));
  await expect(bringUp(place, {}, never)).rejects.toThrow(/The data folder cannot be written to: EISDIR/);
  expect(await readdir(place.pgdata)).toEqual([]);
});

test("a start that is called off leaves nothing running", async ({ dataDir }) => {
  const place = await givenPlace(dataDir, `echo $$ >${dataDir}/pid; trap '${LEAVE}' INT; ${STAY}`);
  const calledOff = new AbortController();
  const started = startPostgres(place, {}, calledOff.signal);
  const pid = await until(
    "it starts",
    async () => Number(await readFile(join(dataDir, "pid"), "utf8").catch(() => 0)) || false,
  );
  calledOff.abort();
  expect(await started).toEqual({ kind: "exited", said: "" });
  expect(exists(pid)).toBe(false);
});

test("one that hears nothing is ended by force", async ({ dataDir }) => {
  const place = await givenPlace(dataDir, `trap "" INT QUIT TERM; ${READY}; ${STAY}`);
  const started = await startPostgres(place, {}, never);
  if (started.kind !== "ready") throw new Error(started.said);
  await started.run.stop();
  expect(exists(started.run.pid)).toBe(false);
});

test("a log that has grown long is put aside, and only this run's part is told", async ({ dataDir }) => {
  const place = await givenPlace(dataDir, "echo 'FATAL:  not today'; exit 1");
  await writeFile(place.logFile, "yesterday\n");
  expect(await startPostgres(place, {}, never)).toEqual({ kind: "exited", said: "FATAL:  not today" });
  await truncate(place.logFile, 10_000_001);
  expect(await startPostgres(place, {}, never)).toEqual({ kind: "exited", said: "FATAL:  not today" });
  expect((await stat(`${place.logFile}.old`)).size).toBe(10_000_001);
  expect(await readFile(place.logFile, "utf8")).toBe("FATAL:  not today\n");
});
