/** pg-boss with its batches: `insert` to add many, `fetch` and `complete` of many to work. */
import { setTimeout as sleep } from "node:timers/promises";
import { PgBoss } from "pg-boss";
import { type BenchPayload, type Client, JOB_TYPE } from "./client.ts";

export interface BossTarget {
  url: string;
  /** Jobs in one fetch and one complete. */
  batch: number;
}

/** How long an empty queue is left alone; `work()` waits half a second at the least. */
const IDLE_MS = 20;

export const bossClient: Client<BossTarget> = {
  async openProducer({ url }) {
    const boss = await open(url);
    return {
      dispatch: (payload) => boss.send(JOB_TYPE, payload),
      dispatchMany: (payloads) =>
        boss.insert(
          JOB_TYPE,
          payloads.map((data) => ({ data })),
        ),
      close: () => boss.stop({ graceful: false }),
    };
  },

  async openWorker({ url, batch }, { concurrency, onJob }) {
    const boss = await open(url);
    let isOver = false;
    const loops = Array.from({ length: concurrency }, async () => {
      while (!isOver) {
        const jobs = await boss.fetch<BenchPayload>(JOB_TYPE, { batchSize: batch });
        if (jobs.length === 0) {
          await sleep(IDLE_MS);
          continue;
        }
        for (const { data } of jobs) onJob(data);
        await boss.complete(
          JOB_TYPE,
          jobs.map(({ id }) => id),
          { ok: true },
        );
      }
    });
    return {
      async close() {
        isOver = true;
        await Promise.all(loops);
        await boss.stop({ graceful: false });
      },
    };
  },
};

/** Without its own loops of maintenance, which have nothing to do here. */
async function open(url: string): Promise<PgBoss> {
  const boss = new PgBoss({ connectionString: url, supervise: false, schedule: false, max: 10 });
  boss.on("error", (error) => console.error(error));
  await boss.start();
  if ((await boss.getQueue(JOB_TYPE)) === null) await boss.createQueue(JOB_TYPE);
  return boss;
}
