/** Who watches the numbers sees what is, and then what changes, until one of the two leaves. */
import { ConnectError } from "@connectrpc/connect";
import { expect } from "vitest";
import { AIResultStatus } from "../../src/gen/aibroker/v1/job_pb.ts";
import type { StatsNow } from "../../src/gen/aibroker/v1/stats_pb.ts";
import { startTestBroker, type TestBroker } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { isFlaky } from "../support/flaky-store.ts";
import { until } from "../support/until.ts";
import { reasonOf } from "../support/watching.ts";

const { AI_RESULT_STATUS_DONE: DONE } = AIResultStatus;

/** A watch under way, with everything that it was told. */
class StatsWatch implements AsyncDisposable {
  readonly frames: StatsNow[] = [];
  heartbeats = 0;
  readonly #abort = new AbortController();
  readonly ended: Promise<ConnectError | null>;

  constructor(broker: TestBroker) {
    this.ended = this.#read(broker);
  }

  async #read(broker: TestBroker): Promise<ConnectError | null> {
    try {
      for await (const { frame } of broker.admin.watchStats({}, { signal: this.#abort.signal })) {
        if (frame.case === "stats") this.frames.push(frame.value);
        else this.heartbeats += 1;
      }
      return null;
    } catch (err) {
      // It ends so only where its first numbers could not be had.
      if (isFlaky && reasonOf(err) === "DATABASE_DOWN") return await this.#read(broker);
      return ConnectError.from(err);
    }
  }

  async heard(count: number): Promise<StatsNow> {
    await until(`${count} frames were told`, () => this.frames.length >= count);
    return this.frames[count - 1] as StatsNow;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    await this.ended;
  }
}

test("the first frame is what is, the next what has changed, and who comes late sees the same", async ({
  db: _,
  url,
}) => {
  await using broker = await startTestBroker(url);
  await broker.jobs.dispatch({ jobs: [{ type: "ocr" }, { type: "ocr" }, { type: "tag" }] });
  await using watch = new StatsWatch(broker);
  expect(await watch.heard(1)).toMatchObject({
    types: [
      { type: "ocr", due: 2n, running: 0n, paused: false, oldestDueAt: expect.any(Object) },
      { type: "tag", due: 1n },
    ],
    workers: { running: 0 },
    countedAt: expect.any(Object),
  });
  await broker.worker.claim({ workerId: "w", types: ["tag"] });
  const tag = () => watch.frames.at(-1)?.types.find(({ type }) => type === "tag");
  await until("the claim is seen", () => tag()?.running === 1n);
  expect(watch.frames.at(-1)?.workers).toMatchObject({ workers: 1, running: 1 });
  await using late = new StatsWatch(broker);
  expect((await late.heard(1)).types.find(({ type }) => type === "tag")).toMatchObject({ due: 0n, running: 1n });
});

test("the pace of jobs that end is seen a few seconds later", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  await using watch = new StatsWatch(broker);
  await broker.jobs.dispatch({ jobs: [{ type: "ocr" }] });
  const { jobs } = await broker.worker.claim({ workerId: "w", wait: { seconds: 5n } });
  const items = jobs.map(({ job, leaseToken }) => ({ leaseToken, result: { jobId: job?.id ?? "", status: DONE } }));
  await broker.worker.report({ workerId: "w", items });
  const done = await until("the end is counted", () => {
    return watch.frames.at(-1)?.types.find(({ donePerMinute }) => donePerMinute > 0);
  });
  expect(done).toMatchObject({
    type: "ocr",
    due: 0n,
    running: 0n,
    runP50: expect.any(Object),
    waitP95: expect.any(Object),
  });
});

test("where nothing changes there are heartbeats", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url, { WATCH_HEARTBEAT_MS: "100" });
  await using watch = new StatsWatch(broker);
  await watch.heard(1);
  await until("three heartbeats came", () => watch.heartbeats >= 3);
  expect(watch.frames).toHaveLength(1);
});

test("more watchers than WATCH_MAX_STREAMS are refused until one has left", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url, { WATCH_MAX_STREAMS: "1" });
  {
    await using first = new StatsWatch(broker);
    await first.heard(1);
    await using second = new StatsWatch(broker);
    expect(reasonOf(await second.ended)).toBe("TOO_MANY_STREAMS");
  }
  await until("the place is free", async () => {
    await using next = new StatsWatch(broker);
    await Promise.race([next.ended, next.heard(1)]);
    return next.frames.length > 0;
  });
});

test("a broker that stops tells its watchers", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  await using watch = new StatsWatch(broker);
  await watch.heard(1);
  await broker.stop();
  expect(reasonOf(await watch.ended)).toBe("SHUTTING_DOWN");
});
