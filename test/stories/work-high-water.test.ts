/** What an instance holds never passes its capacity: counted in the database at each claim, while its streams come and go. */
import { expect } from "vitest";
import type { Database } from "../../src/store/db.ts";
import { startTestBroker } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { until } from "../support/until.ts";
import { WorkProcess } from "../support/work-process.ts";
import { dispatchAll, names, openWorker, tally } from "../support/work-words.ts";

const CAPACITY = 4;

/** From now on each new lease is counted, with all that its instance has, in the transaction that claims it. */
async function countClaims(db: Database): Promise<void> {
  await db.sql`CREATE SCHEMA IF NOT EXISTS watch`;
  await db.sql`CREATE TABLE IF NOT EXISTS watch.held (instance_id text, held int)`;
  await db.sql`TRUNCATE watch.held`;
  await db.sql.unsafe(`
    CREATE OR REPLACE FUNCTION watch.count_held() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      INSERT INTO watch.held SELECT instance_id, count(*) FROM public.ai_lease
        WHERE instance_id IS NOT NULL GROUP BY instance_id;
      RETURN NULL;
    END $$;
    DROP TRIGGER IF EXISTS watch_claims ON public.ai_lease;
    CREATE TRIGGER watch_claims AFTER INSERT ON public.ai_lease FOR EACH STATEMENT EXECUTE FUNCTION watch.count_held()`);
}

async function mostHeld(db: Database, instanceId: string): Promise<number> {
  const [row] = await db.sql<{ most: number | null }[]>`
    SELECT max(held) AS most FROM watch.held WHERE instance_id = ${instanceId}`;
  return row?.most ?? 0;
}

/** Each as often as the list is walked. */
const CUTS = ["cancel", "destroy", "end"] as const;

test("on one broker: its streams are cut in every way while jobs flow, and it never has more than it asked for", {
  timeout: 60_000,
}, async ({ db, url }) => {
  await countClaims(db);
  await using broker = await startTestBroker(url);
  await using worker = new WorkProcess({
    capacity: CAPACITY,
    pick: () => broker,
    handlerMs: () => 10 + Math.random() * 20,
  });
  for (let turn = 0; turn < 12; turn++) {
    await dispatchAll(broker, names(`j${turn}-`, 16));
    await comesBackFrom(worker, CUTS[turn % CUTS.length] as (typeof CUTS)[number]);
  }
  await until("all is done", async () => (await tally(db)).states["DONE"] === 12 * 16, 20_000);
  expect(await mostHeld(db, worker.instanceId)).toBe(CAPACITY);
  expect(worker.mostHeld).toBeLessThanOrEqual(CAPACITY);
});

test("on two brokers in turn, with the old stream still open on the other one: the same", {
  timeout: 60_000,
}, async ({ db, url }) => {
  await countClaims(db);
  await using first = await startTestBroker(url);
  await using second = await startTestBroker(url);
  await using worker = new WorkProcess({
    capacity: CAPACITY,
    pick: (streams) => (streams % 2 === 0 ? first : second),
    handlerMs: () => 10 + Math.random() * 20,
  });
  for (let turn = 0; turn < 12; turn++) {
    await dispatchAll(first, names(`j${turn}-`, 16));
    // The cable is out: the old broker does not hear of it.
    await comesBackFrom(worker, "silence");
  }
  await until("all is done", async () => (await tally(db)).states["DONE"] === 12 * 16, 20_000);
  expect(await mostHeld(db, worker.instanceId)).toBe(CAPACITY);
  expect(worker.mostHeld).toBeLessThanOrEqual(CAPACITY);
});

test("many reconnects of one instance at once leave one stream, with one capacity", async ({ db, url }) => {
  await countClaims(db);
  await using first = await startTestBroker(url);
  await using second = await startTestBroker(url);
  const hello = { instanceId: "copy-1", maxInFlight: CAPACITY };
  const opened = await Promise.allSettled(
    Array.from({ length: 10 }, (_, at) => openWorker([first, second][at % 2] ?? first, hello)),
  );
  await using streams = new AsyncDisposableStack();
  for (const one of opened) if (one.status === "fulfilled") streams.use(one.value);
  await dispatchAll(first, names("j", 40));
  await until("it has what it asked for", async () => (await mostHeld(db, "copy-1")) >= CAPACITY);
  await until("one stream is left", async () => {
    const { workers } = await first.admin.listWorkers({});
    return workers.flatMap((worker) => worker.streams).length === 1;
  });
  expect(await mostHeld(db, "copy-1")).toBe(CAPACITY);
});

/** Cuts its stream while it has work, and waits for the next one. */
async function comesBackFrom(worker: WorkProcess, way: Parameters<WorkProcess["cut"]>[0]): Promise<void> {
  await until("it works", () => worker.held.size > 1, 10_000);
  const { streams } = worker;
  worker.cut(way);
  await until("it is back", () => worker.streams > streams, 10_000);
}
