/** How an embedded Postgres is kept up when it does not come back at once, and among several who share it. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, vi } from "vitest";
import { isRunning, postmasterOf, test } from "../support/embedded.ts";
import { until } from "../support/until.ts";

// Each of these makes a database cluster, which takes its time when the machine is busy.
vi.setConfig({ testTimeout: 60_000 });

test("a Postgres that does not come back is tried again, saying why, until it does", async ({
  start,
  connect,
  dataDir,
}) => {
  const lines: string[] = [];
  const postgres = await start({ log: (line) => lines.push(line) });
  const settings = join(dataDir, "postgres", "postgresql.conf");
  const text = await readFile(settings, "utf8");
  await writeFile(settings, `${text}\nwork_mem = 'plenty'\n`);
  process.kill(await postmasterOf(dataDir), "SIGKILL");
  await until("it has failed", () => lines.some((line) => /does not start\.\n.*"work_mem": "plenty"/s.test(line)));
  await writeFile(settings, text);
  await until("it is back", () => lines.at(-1)?.endsWith("is back"));
  expect(await connect(postgres.url)`SELECT 1 AS one`).toEqual([{ one: 1 }]);
});

test("a Postgres that does not come back can be stopped, and is not tried again then", async ({ start, dataDir }) => {
  const lines: string[] = [];
  const postgres = await start({ log: (line) => lines.push(line) });
  const settings = join(dataDir, "postgres", "postgresql.conf");
  const text = await readFile(settings, "utf8");
  await writeFile(settings, `${text}\nwork_mem = 'plenty'\n`);
  process.kill(await postmasterOf(dataDir), "SIGKILL");
  await until("it has failed", () => lines.some((line) => line.includes("does not start")));
  await postgres.stop();
  const said = lines.length;
  expect(lines.some((line) => line.endsWith("is back"))).toBe(false);
  // Nothing is left that could bring it back, or say more.
  await writeFile(settings, text);
  expect(await isRunning(dataDir)).toBe(false);
  expect(lines).toHaveLength(said);
});

test("of two that shared it one takes over when its owner is killed, and the other shares again", async ({
  start,
  startBroker,
  connect,
  dataDir,
}) => {
  const owner = await startBroker();
  const lines: string[][] = [[], []];
  const guests = [];
  for (const own of lines) guests.push(await start({ log: (line) => own.push(line) }));
  expect(guests.map(({ attached }) => attached)).toEqual([true, true]);
  owner.child.kill("SIGKILL");
  await until("both are back", () => lines.every((own) => own.some((line) => line.includes(" is back"))), 30_000);
  expect(guests.map(({ attached }) => attached).sort()).toEqual([false, true]);
  const ends = lines.map((own) => own.find((line) => line.includes(" is back"))?.replace(/.* is back/, ""));
  expect(ends.sort()).toEqual(["", ", started by another broker"]);
  for (const { url } of guests) expect(await connect(url)`SELECT 1 AS one`).toEqual([{ one: 1 }]);
  expect(await postmasterOf(dataDir)).toBeGreaterThan(0);
});
