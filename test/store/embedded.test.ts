import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, inject, vi } from "vitest";
import { ask, test as base, isRunning, postmasterOf } from "../support/embedded.ts";
import { until } from "../support/until.ts";

// Each of these starts clusters, which takes its time when the machine is busy.
vi.setConfig({ testTimeout: 60_000 });

/** One cluster for the file, made by its first test; each test finds it stopped, whole, and without its table `kept`. */
const test = base.extend<{ cluster: string; dataDir: string }>({
  cluster: [
    async ({}, use) => {
      const folder = await mkdtemp(join(inject("runFolder"), "cluster-"));
      await use(folder);
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
    { scope: "file" },
  ],
  dataDir: async ({ cluster }, use) => {
    const dataDir = join(cluster, "data");
    await use(dataDir);
    await until("no Postgres is left", async () => !(await isRunning(dataDir)));
  },
});

const KEPT = "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT 1 AS one";

describe("an embedded Postgres alone", () => {
  test("keeps its data over a stop and a start", async ({ start, connect, dataDir }) => {
    const first = await start();
    expect(first).toMatchObject({ attached: false, version: expect.stringMatching(/^18\./) });
    await connect(first.url).unsafe(KEPT);
    await first.stop();
    expect(await isRunning(dataDir)).toBe(false);
    const second = await start();
    expect(second.url).toBe(first.url);
    expect(await connect(second.url)`SELECT one FROM kept`).toEqual([{ one: 1 }]);
  });

  test("is durable unless told otherwise, and reached only through its socket", async ({ start, connect }) => {
    const { url } = await start({ durable: true, settings: { work_mem: "5MB" } });
    const sql = connect(url);
    const shown = await sql`SELECT name, setting FROM pg_settings WHERE name IN
      ('fsync', 'synchronous_commit', 'full_page_writes', 'listen_addresses', 'work_mem') ORDER BY name COLLATE "C"`;
    expect(Object.fromEntries(shown.map((row) => [row["name"], row["setting"]]))).toEqual({
      fsync: "on",
      full_page_writes: "on",
      listen_addresses: "",
      synchronous_commit: "on",
      work_mem: "5120",
    });
  });

  test("comes back by itself when Postgres is killed, at the same address with all that was committed", async ({
    start,
    connect,
    dataDir,
  }) => {
    const lines: string[] = [];
    const postgres = await start({ durable: true, log: (line) => lines.push(line) });
    const sql = connect(postgres.url);
    await sql.unsafe(KEPT);
    const killed = await postmasterOf(dataDir);
    process.kill(killed, "SIGKILL");
    await until("the return is logged", () => lines.some((line) => line.includes("is back")));
    expect(await ask(sql, "SELECT one FROM kept")).toEqual({ one: 1 });
    expect(await postmasterOf(dataDir)).not.toBe(killed);
    expect(lines.map((line) => line.replace(/ in .*postgres/, ""))).toEqual([
      expect.stringContaining("started Postgres 18."),
      "Postgres has gone: starting it again",
      "Postgres is back",
    ]);
  });

  test("stops although a statement is under way, and what was not committed is gone", async ({
    start,
    connect,
    dataDir,
  }) => {
    const { url, stop } = await start();
    const sql = connect(url);
    await sql.unsafe(`${KEPT}; DELETE FROM kept`);
    await sql`SELECT pg_advisory_lock(1)`;
    const insert = connect(url)`INSERT INTO kept SELECT 1 FROM pg_advisory_lock(1)`;
    const cut = expect(insert).rejects.toThrow();
    await until("the insert waits", async () => (await sql`SELECT FROM pg_locks WHERE NOT granted`).length === 1);
    await stop();
    await cut;
    expect(await isRunning(dataDir)).toBe(false);
    const again = await start();
    expect(await connect(again.url)`SELECT * FROM kept`).toEqual([]);
  });

  test("starts although the lock of a crash names another program's pid", async ({ start, connect, dataDir }) => {
    const first = await start();
    const lock = await readFile(join(dataDir, "postgres", "postmaster.pid"), "utf8");
    await first.stop();
    const stale = lock.replace(/^\d+/, String(process.pid));
    await writeFile(join(dataDir, "postgres", "postmaster.pid"), stale);
    await writeFile(join(dataDir, "run", ".s.PGSQL.5432.lock"), stale);
    const second = await start();
    expect(second.attached).toBe(false);
    expect(await connect(second.url)`SELECT 1 AS one`).toEqual([{ one: 1 }]);
  });

  test("starts although a crash left an empty lock", async ({ start, dataDir }) => {
    await (await start()).stop();
    await writeFile(join(dataDir, "postgres", "postmaster.pid"), "");
    expect((await start()).attached).toBe(false);
  });

  test("says with Postgres's own words why it does not start", async ({ start, dataDir }) => {
    await expect(start({ settings: { shared_buffers: "much" } })).rejects.toThrow(
      /does not start\.\n.*invalid value for parameter "shared_buffers": "much"[\s\S]*See .*postgres\.log/,
    );
    expect(await readdir(dataDir)).toContain("postgres");
  });
});

describe("an embedded Postgres and the broker that started it", () => {
  test("ends when the broker is killed", async ({ startBroker, connect, dataDir }) => {
    const broker = await startBroker();
    expect(await connect(broker.url)`SELECT 1 AS one`).toEqual([{ one: 1 }]);
    const pid = await postmasterOf(dataDir);
    broker.child.kill("SIGKILL");
    await until("Postgres has shut down", async () => !(await isRunning(dataDir)));
    const log = await readFile(join(dataDir, "postgres.log"), "utf8");
    expect(log).toContain(`[${pid}] LOG:  database system is shut down`);
  });

  test("outlives a Ctrl-C, which the terminal sends to the whole process group", async ({
    startBroker,
    connect,
    dataDir,
  }) => {
    const broker = await startBroker();
    const pid = await postmasterOf(dataDir);
    process.kill(-(broker.child.pid ?? Number.NaN), "SIGINT");
    await broker.logged("interrupted");
    expect(await connect(broker.url)`SELECT 1 AS one`).toEqual([{ one: 1 }]);
    expect(await postmasterOf(dataDir)).toBe(pid);
    await broker.leave();
    expect(await isRunning(dataDir)).toBe(false);
  });

  test("is replaced when it has lost its broker and its guard", async ({ startBroker, start, dataDir }) => {
    const broker = await startBroker();
    const orphan = await postmasterOf(dataDir);
    process.kill(await guardOf(dataDir), "SIGKILL");
    broker.child.kill("SIGKILL");
    await broker.gone;
    expect((await start()).attached).toBe(false);
    expect(await postmasterOf(dataDir)).not.toBe(orphan);
  });
});

describe("an embedded Postgres and several brokers", () => {
  test("is shared, and stays when a broker that shares it leaves", async ({ start, startBroker, connect, dataDir }) => {
    const owner = await start();
    const guest = await startBroker();
    expect(guest).toMatchObject({ attached: true, url: owner.url });
    const pid = await postmasterOf(dataDir);
    await guest.leave();
    expect(await connect(owner.url)`SELECT 1 AS one`).toEqual([{ one: 1 }]);
    expect(await postmasterOf(dataDir)).toBe(pid);
  });

  for (const [how, end] of [
    ["leaves", (broker: { leave(): Promise<void> }) => broker.leave()],
    ["is killed", async (broker: { child: { kill(signal: "SIGKILL"): boolean } }) => broker.child.kill("SIGKILL")],
  ] as const) {
    test(`is taken over at the same address when its owner ${how}`, async ({ start, startBroker, connect }) => {
      const owner = await startBroker();
      const guest = await start();
      expect(guest).toMatchObject({ attached: true, url: owner.url });
      const sql = connect(guest.url);
      await sql.unsafe(KEPT);
      await end(owner);
      await until("the guest has taken over", () => !guest.attached);
      expect(await ask(sql, "SELECT one FROM kept")).toEqual({ one: 1 });
    });
  }

  test("has one owner when two brokers start at once on an empty folder", async ({ startBroker, connect, folder }) => {
    const dataDir = join(folder, "empty");
    const brokers = await Promise.all([startBroker({ dataDir }), startBroker({ dataDir })]);
    expect(brokers.map((broker) => broker.attached).sort()).toEqual([false, true]);
    for (const { url } of brokers) expect(await connect(url)`SELECT 1 AS one`).toEqual([{ one: 1 }]);
    expect((await readdir(dataDir)).filter((name) => name.startsWith("postgres-new"))).toEqual([]);
    for (const broker of brokers) await broker.leave();
  });
});

/** The process that ends Postgres when its broker is gone. */
async function guardOf(dataDir: string): Promise<number> {
  for (const pid of await readdir("/proc")) {
    const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    if (command.startsWith("sh\0-c\0") && command.includes(dataDir)) return Number(pid);
  }
  throw new Error(`No guard for ${dataDir}.`);
}
