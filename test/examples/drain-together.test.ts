/** Clients that have nothing in common but proto/ work on one queue. */
import { describe, expect } from "vitest";
import { startTestBroker } from "../support/broker.ts";
import { connected, type Drainer, dispatchMany, emptied, processDrainer, rawDrainer } from "./drainers.ts";
import { test } from "./programs.ts";

const COUNT = 2_000;
const AT_A_TIME = 10;

const CREWS = [
  { crew: ["raw grpc-js", "Connect in Node", "the SDK"], count: COUNT },
  { crew: ["raw grpc-js", "Connect in Node", "the SDK", "Python grpcio"], count: COUNT },
];

describe.each(CREWS.map((one) => ({ ...one, names: one.crew.join(", ") })))("$names", ({ crew, count }) => {
  test("drain one queue together, and each job is done exactly once", async ({ db, url, startWorker }) => {
    await using broker = await startTestBroker(url);
    const env = { CONCURRENCY: String(AT_A_TIME) };
    const makers: Record<string, () => Drainer | Promise<Drainer>> = {
      "raw grpc-js": () => rawDrainer(broker, ["ocr"], AT_A_TIME),
      "Connect in Node": () => processDrainer(startWorker("worker-node-raw/worker.ts", broker.url, env)),
      "the SDK": () => processDrainer(startWorker("worker-node/worker.ts", broker.url, env)),
      "Python grpcio": () => processDrainer(startWorker("worker-python/worker.py", broker.url, env)),
    };
    const drainers = await Promise.all(crew.map(async (name) => await makers[name]!()));
    await connected(broker, drainers.length);

    const ids = await dispatchMany(broker, count);
    await emptied(drainers, count);

    expect(drainers.flatMap((drainer) => drainer.done()).toSorted()).toEqual(ids.toSorted());
    for (const [at, name] of crew.entries()) expect(drainers[at]?.done().length, name).toBeGreaterThan(0);
    const [counts] = await db.sql`
      SELECT count(*) FILTER (WHERE status = 'DONE' AND attempt_count = 1 AND deliveries = 1)::int AS once,
        (SELECT count(*)::int FROM ai_result) AS results
      FROM ai_job`;
    expect(counts).toEqual({ once: count, results: count });
  }, 180_000);
});
