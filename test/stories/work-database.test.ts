/** The database goes away in the middle of streams and comes back: no stream ends, nothing is lost, everything goes on. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { expect, test as plainTest } from "vitest";
import { LeaseVerdict } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { HealthCheckResponse_ServingStatus as Serving } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../../src/store/embedded.ts";
import { migrate } from "../../src/store/migrate.ts";
import { startTestBroker, type TestBroker } from "../support/broker.ts";
import { doneItem } from "../support/raw-work.ts";
import { until } from "../support/until.ts";
import {
  dispatchAll,
  hearAll,
  idsOf,
  leaseOf,
  openWorker,
  outcomes,
  refusedHello,
  takeJob,
  takeJobs,
} from "../support/work-words.ts";

interface Scene {
  broker: TestBroker;
  away(): Promise<void>;
  back(): Promise<void>;
}

const test = plainTest.extend<{ scene: Scene }>({
  scene: async ({}, use) => {
    const dataDir = await mkdtemp(join(tmpdir(), "work-database-"));
    let postgres: EmbeddedPostgres = await startEmbeddedPostgres({ dataDir });
    try {
      await migrate(postgres.url);
      await using broker = await startTestBroker(postgres.url);
      const serves = async (status: Serving) => (await broker.health.check({})).status === status;
      await until("it serves", () => serves(Serving.SERVING));
      await use({
        broker,
        away: async () => {
          await postgres.stop();
          await until("the broker knows", () => serves(Serving.NOT_SERVING));
        },
        back: async () => {
          postgres = await startEmbeddedPostgres({ dataDir });
          await until("it serves again", () => serves(Serving.SERVING), 30_000);
        },
      });
    } finally {
      await postgres.stop();
      await rm(dataDir, { recursive: true, force: true, maxRetries: 5 });
    }
  },
});

test("each kind of message is answered with retry_after meanwhile; said again later it counts, and new jobs come", {
  timeout: 90_000,
}, async ({ scene: { broker, away, back } }) => {
  await using work = await openWorker(broker, { maxInFlight: 3 });
  await dispatchAll(broker, ["a", "b", "c"]);
  const [a, b, c] = await takeJobs(work, 3);
  await hearAll(work);
  await away();
  const reports = { reports: { id: 1n, items: [doneItem(a!)] } };
  const release = { release: { id: 2n, leases: [leaseOf(b!)] } };
  const heartbeat = { heartbeat: { id: 3n, leases: [leaseOf(c!)] } };
  for (const frame of [reports, release, heartbeat]) work.send(frame);
  const answers = [await work.next("reportAck"), await work.next("releaseAck"), await work.next("heartbeatAck")];
  expect(answers.map(({ id }) => id)).toEqual([1n, 2n, 3n]);
  for (const answer of answers) {
    expect(answer.retryAfter && durationMs(answer.retryAfter)).toBeGreaterThan(0);
    expect("results" in answer ? answer.results : answer.leases).toEqual([]);
  }
  // The stream itself needs no database.
  await hearAll(work);
  work.send({ capacity: { maxInFlight: 4 } });
  await hearAll(work);
  await back();
  for (const frame of [reports, release, heartbeat]) work.send(frame);
  const report = await work.next("reportAck");
  expect(report.retryAfter).toBeUndefined();
  expect(outcomes(report.results)).toEqual(["a: ACCEPTED"]);
  expect((await work.next("releaseAck")).results).toMatchObject([{ released: true }]);
  expect((await work.next("heartbeatAck")).leases).toMatchObject([{ verdict: LeaseVerdict.CONTINUE }]);
  // The released one comes again, and what is dispatched from now on.
  await dispatchAll(broker, ["d"]);
  expect(idsOf(await takeJobs(work, 2)).sort()).toEqual(["b", "d"]);
  expect(await tokensHeld(broker)).toBe(3);
});

test("a Hello meanwhile is told DATABASE_DOWN and when to come back; a stream that ends meanwhile gives its jobs back later and is listed no more", {
  timeout: 90_000,
}, async ({ scene: { broker, away, back } }) => {
  await using work = await openWorker(broker, { maxInFlight: 1 }, { acks: false });
  await dispatchAll(broker, ["a"]);
  await takeJob(work);
  await away();
  expect(await refusedHello(broker, { types: ["ocr"] })).toMatchObject({
    code: Code.Unavailable,
    reason: "DATABASE_DOWN",
    retryMs: expect.any(Number),
  });
  work.cancel();
  await until("the stream is over", () =>
    broker.lines.some((line) => line.includes("the end of a stream could not be written down")),
  );
  await back();
  await using heir = await openWorker(broker, { workerId: "heir" });
  const job = await takeJob(heir, 10_000);
  expect(job).toMatchObject({ attempt: 1, job: { id: "a" } });
  expect((await broker.jobs.getJob({ jobId: "a" })).job).toMatchObject({ attemptCount: 1, deliveries: 2 });
  await until("its end is written down, too", async () => (await streaming(broker)).join() === "heir", 20_000);
});

test("a draining worker whose last report meets no database stays connected until it is stored", {
  timeout: 90_000,
}, async ({ scene: { broker, away, back } }) => {
  await using work = await openWorker(broker, { maxInFlight: 1 });
  await dispatchAll(broker, ["a"]);
  const job = await takeJob(work);
  work.send({ drain: {} });
  await hearAll(work);
  await away();
  expect((await work.report([job])).retryAfter).toBeDefined();
  await hearAll(work);
  await back();
  expect(outcomes((await work.report([job])).results)).toEqual(["a: ACCEPTED"]);
  expect(await work.ended).toEqual({ code: 0 });
});

/** Workers of which a stream is listed. */
async function streaming(broker: TestBroker): Promise<string[]> {
  const { workers } = await broker.admin.listWorkers({});
  return workers.filter(({ streams }) => streams.length > 0).map(({ workerId }) => workerId);
}

/** Leases that the database knows of. */
async function tokensHeld(broker: TestBroker): Promise<number> {
  const { jobs } = await broker.jobs.listJobs({ statuses: [2] });
  return jobs.length;
}
