/** Two brokers are restarted one after the other, under load: no job is lost, and none is begun twice. */
import * as grpc from "@grpc/grpc-js";
import { expect } from "vitest";
import { JobService } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { API_TOKEN, startTestBroker, type TestBroker } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { expectNoDrift } from "../support/jobs.ts";
import { callGrpcJs } from "../support/rpc-clients.ts";
import { until } from "../support/until.ts";
import { otherAnswers, startedOtherThanOnce, WorkProcess } from "../support/work-process.ts";
import { names, tally } from "../support/work-words.ts";

const BATCHES = 40;
const BATCH = 10;

/** Dispatches batch after batch to whichever broker takes it; to repeat a batch is safe, since its jobs have ids. */
async function produce(brokers: readonly TestBroker[], onBatch: (batch: number) => Promise<void>): Promise<string[]> {
  const ids: string[] = [];
  for (let batch = 0; batch < BATCHES; batch++) {
    const mine = names(`b${batch}-`, BATCH);
    await until(`batch ${batch} is dispatched`, async () => {
      for (const { port } of brokers) if (await dispatchTo(port, mine)) return true;
      return false;
    });
    ids.push(...mine);
    await onBatch(batch);
  }
  return ids;
}

async function dispatchTo(port: number, ids: readonly string[]): Promise<boolean> {
  const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
  const jobs = ids.map((id) => ({ id, type: "ocr", payloadJson: "{}" }));
  try {
    await callGrpcJs(client, JobService.method.dispatch, { jobs }, API_TOKEN);
    return true;
  } catch {
    return false;
  } finally {
    client.close();
  }
}

test.for(["moves", "stays"] as const)(
  "a rolling restart of two brokers loses and repeats nothing, whether a worker with work in hand %s",
  {
    timeout: 120_000,
  },
  async (onDrain, { db, url }) => {
    const env = { SHUTDOWN_TIMEOUT_MS: "15000" };
    const brokers = [await startTestBroker(url, env), await startTestBroker(url, env)];
    await using stack = new AsyncDisposableStack();
    stack.defer(async () => void (await Promise.all(brokers.map((broker) => broker.stop()))));
    const workers = names("w", 6).map((_, at) =>
      stack.use(
        new WorkProcess({
          capacity: 3,
          // Also a broker that is about to stop: it says so, or refuses.
          pick: (streams) => brokers[(streams + at) % 2],
          handlerMs: () => 5 + Math.random() * 60,
          onDrain,
        }),
      ),
    );
    const restart = async (at: number) => {
      await brokers[at]?.stop();
      brokers[at] = await startTestBroker(url, env);
    };
    let restarts = Promise.resolve();
    let restarted = 0;
    const ids = await produce(brokers, async (batch) => {
      if (batch % 8 === 4) {
        restarts = restarts.then(() => restart(restarted++ % 2));
      }
      // As fast as they are worked off, so that there is always something to do.
      await until("they keep up", async () => ((await tally(db)).states["PENDING"] ?? 0) < 40, 30_000);
    });
    await restarts;
    await until("all is done", async () => (await tally(db)).states["DONE"] === ids.length, 30_000);
    expect(restarted).toBe(5);
    expect(await tally(db)).toEqual({ states: { DONE: ids.length }, attempts: 1 });
    expect(startedOtherThanOnce(workers, ids)).toEqual({});
    expect(workers.flatMap(({ lost }) => lost)).toEqual([]);
    expect(workers.flatMap(({ afterDrain }) => afterDrain)).toEqual([]);
    // A report that was sent on two streams is a DUPLICATE on the second; all else was ACCEPTED.
    expect(otherAnswers(workers).filter((answer) => !answer.endsWith("DUPLICATE"))).toEqual([]);
    expect(workers.every(({ streams }) => streams > 2)).toBe(true);
    const ends = new Set(workers.flatMap(({ ends }) => ends));
    expect([...ends].filter((end) => end !== "OK" && end !== "SESSION_SUPERSEDED")).toEqual([]);
    await expectNoDrift(db);
  },
);
