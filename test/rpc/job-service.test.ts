import { describe, expect } from "vitest";
import { JobStatus } from "../../src/gen/aibroker/v1/job_pb.ts";
import { CancelStatus, RetryStatus } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { givenRows } from "../store/given-rows.ts";
import { test } from "../support/db.ts";
import { startMoves } from "../support/moves.ts";
import { recordedMoves, refused, serviceClients } from "./service-clients.ts";

const { moves } = recordedMoves();

test("cancel and retry answer each job, in the order of the request", async () => {
  const { moves, calls } = recordedMoves({
    cancel: async () => [
      { jobId: "a", outcome: "CANCELLED", status: "CANCELLED" },
      { jobId: "b", outcome: "REQUESTED", status: "RUNNING" },
      { jobId: "c", outcome: "UNCHANGED", status: "DONE" },
      { jobId: "d", outcome: "NOT_FOUND", status: null },
    ],
    retry: async () => [
      { jobId: "a", outcome: "RETRIED", status: "PENDING" },
      { jobId: "b", outcome: "NOT_RETRYABLE", status: "DONE" },
      { jobId: "c", outcome: "NOT_FOUND", status: null },
    ],
  });
  const { jobs } = serviceClients({ moves });
  const cancelled = await jobs.cancelJobs({ jobIds: ["a", "b", "c", "d"], reason: "no more" });
  expect(cancelled.results.map(({ jobId, status, jobStatus }) => [jobId, status, jobStatus])).toEqual([
    ["a", CancelStatus.CANCELLED, JobStatus.CANCELLED],
    ["b", CancelStatus.REQUESTED, JobStatus.RUNNING],
    ["c", CancelStatus.UNCHANGED, JobStatus.DONE],
    ["d", CancelStatus.NOT_FOUND, JobStatus.UNSPECIFIED],
  ]);
  const retried = await jobs.retryJobs({ jobIds: ["a", "b", "c"] });
  expect(retried.results.map(({ jobId, status, jobStatus }) => [jobId, status, jobStatus])).toEqual([
    ["a", RetryStatus.RETRIED, JobStatus.PENDING],
    ["b", RetryStatus.NOT_RETRYABLE, JobStatus.DONE],
    ["c", RetryStatus.NOT_FOUND, JobStatus.UNSPECIFIED],
  ]);
  expect(calls).toEqual([
    { move: "cancel", args: [["a", "b", "c", "d"], "no more"] },
    { move: "retry", args: [["a", "b", "c"]] },
  ]);
});

describe("GetJob", () => {
  test("says that there is no such job", async ({ db }) => {
    const { jobs } = serviceClients({ moves, db });
    await refused(
      jobs.getJob({ jobId: "nobody" }),
      "job_id",
      "JOB_NOT_FOUND",
      /there is no job "nobody": check the id/,
    );
  });

  test("has no result for a job that is to be tried again, though Django left a row", async ({ db }) => {
    await givenRows(db, [{ job_id: "a" }, { job_id: "b", status: "FAILED" }, { job_id: "c", status: "FAILED" }]);
    await db.sql`INSERT INTO ai_result (job_id, payload) SELECT id, '{"n": 1}' FROM ai_job WHERE job_id <> 'c'`;
    const { jobs } = serviceClients({ moves, db });
    expect((await jobs.getJob({ jobId: "a" })).job?.result).toBeUndefined();
    expect((await jobs.getJob({ jobId: "b" })).job?.result?.resultJson).toBe('{"n": 1}');
    expect((await jobs.getJob({ jobId: "c" })).job?.result).toBeUndefined();
  });

  test("tells ahead of a large answer which limit the client must raise", async ({ db }) => {
    await givenRows(db, [
      { job_id: "small", status: "DONE" },
      { job_id: "large", status: "DONE" },
    ]);
    const text = JSON.stringify({ a: "x".repeat(5_000_000) });
    await db.sql`INSERT INTO ai_result (job_id, payload) SELECT id, ${text}::text::jsonb FROM ai_job WHERE job_id = 'large'`;
    const { jobs } = serviceClients({ moves, db });
    const headers: Headers[] = [];
    const onHeader = (header: Headers) => void headers.push(header);
    await jobs.getJob({ jobId: "small" }, { onHeader });
    const { job } = await jobs.getJob({ jobId: "large" }, { onHeader });
    expect(job?.result?.resultJson).toHaveLength(text.length + 1);
    expect(headers[0]?.has("aibroker-answer-bytes")).toBe(false);
    expect(Number(headers[1]?.get("aibroker-answer-bytes"))).toBeGreaterThan(5_000_000);
    expect(headers[1]?.get("aibroker-answer-hint")).toMatch(/raise grpc\.max_receive_message_length/);
  });

  test("leaves out a time that no message can carry", async ({ db }) => {
    await givenRows(db, [
      { job_id: "a", next_run_at: "infinity" },
      { job_id: "b", next_run_at: "9999-12-31T23:59:59.999Z" },
    ]);
    const { jobs } = serviceClients({ moves, db });
    expect((await jobs.getJob({ jobId: "a" })).job?.job?.runAt).toBeUndefined();
    expect((await jobs.getJob({ jobId: "b" })).job?.job?.runAt?.seconds).toBe(253_402_300_799n);
  });
});

describe("ListJobs", () => {
  test("walks through pages by their tokens, without payload and result", async ({ db }) => {
    await givenRows(
      db,
      Array.from({ length: 120 }, (_, n) => ({ job_id: `j${n}`, payload: '{"a":1}' })),
    );
    const { jobs } = serviceClients({ moves, db });
    const first = await jobs.listJobs({ types: ["ocr"] });
    expect(first.jobs.map((job) => job.job?.id)).toEqual(Array.from({ length: 50 }, (_, n) => `j${119 - n}`));
    expect(first.jobs[0]).toMatchObject({ status: JobStatus.PENDING, job: { payloadJson: "" } });
    const second = await jobs.listJobs({ types: ["ocr"], pageToken: first.nextPageToken, pageSize: 70 });
    expect(second.jobs.map((job) => job.job?.id)).toEqual(Array.from({ length: 70 }, (_, n) => `j${69 - n}`));
    expect(second.nextPageToken).toBe("");
  });

  test("refuses the token of another filter, but not for another order of the same words", async ({ db }) => {
    await givenRows(db, [{ job_id: "a" }, { job_id: "b" }]);
    const { jobs } = serviceClients({ moves, db });
    const filter = { types: ["ocr", "b"], statuses: [JobStatus.PENDING, JobStatus.DONE] };
    const { nextPageToken: pageToken } = await jobs.listJobs({ ...filter, pageSize: 1 });
    const same = { types: ["b", "ocr", "b"], statuses: [JobStatus.DONE, JobStatus.PENDING], pageToken };
    expect((await jobs.listJobs(same)).jobs.map((job) => job.job?.id)).toEqual(["a"]);
    for (const other of [
      { types: ["ocr"] },
      { tenantId: "t" },
      { createdAfter: { seconds: 1n, nanos: 0 } },
      { tenantId: "" },
    ]) {
      await refused(
        jobs.listJobs({ ...filter, ...other, pageToken }),
        "page_token",
        "BAD_PAGE_TOKEN",
        /another filter: keep the filter/,
      );
    }
  });

  test("keeps a page below what clients take", async ({ db }) => {
    const lastError = "한".repeat(5_000);
    await givenRows(
      db,
      Array.from({ length: 300 }, (_, n) => ({ job_id: `j${n}`, last_error: lastError })),
    );
    const { jobs } = serviceClients({ moves, db });
    const { jobs: page, nextPageToken } = await jobs.listJobs({ pageSize: 500 });
    expect(page.length).toBeGreaterThan(200);
    expect(page.length * 15_000).toBeLessThan(3_145_728);
    const rest = await jobs.listJobs({ pageSize: 500, pageToken: nextPageToken });
    expect(page.length + rest.jobs.length).toBe(300);
  });
});

describe("on Postgres, with the moves", () => {
  test("nothing is written when one job of a batch is at fault", async ({ db }) => {
    await using broker = startMoves(db);
    const { jobs } = serviceClients({ moves: broker.moves, db });
    await refused(jobs.dispatch({ jobs: [{ type: "ocr" }, { type: "" }] }), "jobs[1].type", "BAD_FIELD");
    expect((await jobs.listJobs({})).jobs).toEqual([]);
  });

  test("the same key and body is the first job, and with another body it is refused by name", async ({ db }) => {
    await using broker = startMoves(db);
    const { jobs } = serviceClients({ moves: broker.moves, db });
    const job = { type: "ocr", payloadJson: '{"a": 1, "b": 2}', idempotencyKey: "k" };
    const [first] = (await jobs.dispatch({ jobs: [job] })).results;
    const [again] = (await jobs.dispatch({ jobs: [{ ...job, payloadJson: '{"b":2,"a":1}' }] })).results;
    expect(again).toMatchObject({ jobId: first?.jobId, created: false });
    const other = [{ type: "ocr" }, { ...job, priority: 1 }];
    await refused(jobs.dispatch({ jobs: other }), "jobs[1].idempotency_key", "IDEMPOTENCY_KEY_REUSED");
    expect((await jobs.listJobs({})).jobs).toHaveLength(1);
  });

  test("a job is cancelled, retried, and cancelled jobs are found by their status", async ({ db }) => {
    await using broker = startMoves(db);
    const { jobs } = serviceClients({ moves: broker.moves, db });
    const [one] = (await jobs.dispatch({ jobs: [{ type: "ocr" }] })).results;
    const jobIds = [one?.jobId as string, "nobody"];
    const cancelled = await jobs.cancelJobs({ jobIds, reason: "changed my mind" });
    expect(cancelled.results.map((result) => result.status)).toEqual([CancelStatus.CANCELLED, CancelStatus.NOT_FOUND]);
    expect((await jobs.listJobs({ statuses: [JobStatus.CANCELLED] })).jobs).toHaveLength(1);
    const retried = await jobs.retryJobs({ jobIds });
    expect(retried.results.map((result) => result.status)).toEqual([RetryStatus.RETRIED, RetryStatus.NOT_FOUND]);
    expect((await jobs.listJobs({ statuses: [JobStatus.PENDING] })).jobs).toHaveLength(1);
  });
});
