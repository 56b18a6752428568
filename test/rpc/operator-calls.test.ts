/** UpdateJobs and ReleaseJobs: what may be asked, and the answers. */
import { expect } from "vitest";
import { ReleaseJobStatus, UpdateStatus } from "../../src/gen/aibroker/v1/admin_service_pb.ts";
import { JobStatus } from "../../src/gen/aibroker/v1/job_pb.ts";
import { test } from "../support/db.ts";
import { newJob, rowOf, statusOf } from "../support/jobs.ts";
import { startMoves } from "../support/moves.ts";
import { until } from "../support/until.ts";
import { recordedMoves, refused, serviceClients } from "./service-clients.ts";

test("each id is answered in the order of the request", async () => {
  const { moves, calls } = recordedMoves({
    update: async () => [
      { jobId: "a", outcome: "UPDATED", status: "PENDING" },
      { jobId: "b", outcome: "UNCHANGED", status: "RUNNING" },
      { jobId: "c", outcome: "NOT_FOUND", status: null },
    ],
    releaseJobs: async () => [
      { jobId: "a", outcome: "RELEASED", status: "PENDING" },
      { jobId: "b", outcome: "UNCHANGED", status: "DONE" },
      { jobId: "c", outcome: "NOT_FOUND", status: null },
    ],
  });
  const { admin } = serviceClients({ moves });
  const jobIds = ["a", "b", "c"];
  const updated = await admin.updateJobs({ jobIds, priority: 0 });
  expect(updated.results.map(({ jobId, status, jobStatus }) => [jobId, status, jobStatus])).toEqual([
    ["a", UpdateStatus.UPDATED, JobStatus.PENDING],
    ["b", UpdateStatus.UNCHANGED, JobStatus.RUNNING],
    ["c", UpdateStatus.NOT_FOUND, JobStatus.UNSPECIFIED],
  ]);
  const released = await admin.releaseJobs({ jobIds, reason: "why", delay: { seconds: 90n, nanos: 0 } });
  expect(released.results.map(({ jobId, status, jobStatus }) => [jobId, status, jobStatus])).toEqual([
    ["a", ReleaseJobStatus.RELEASED, JobStatus.PENDING],
    ["b", ReleaseJobStatus.UNCHANGED, JobStatus.DONE],
    ["c", ReleaseJobStatus.NOT_FOUND, JobStatus.UNSPECIFIED],
  ]);
  await admin.releaseJobs({ jobIds: ["a"] });
  expect(calls).toEqual([
    { move: "update", args: [jobIds, 0] },
    { move: "releaseJobs", args: [jobIds, "why", 90_000] },
    { move: "releaseJobs", args: [["a"], "", 0] },
  ]);
});

test("what is out of bounds is refused by its field, and nothing is moved", async () => {
  const { moves, calls } = recordedMoves();
  const { admin } = serviceClients({ moves });
  const jobIds = ["a"];
  await refused(admin.updateJobs({ priority: 1 }), "job_ids", "BAD_FIELD", /must hold 1\.\.1000/);
  await refused(admin.updateJobs({ jobIds }), "priority", "BAD_FIELD", /is missing: give -1000\.\.1000/);
  await refused(admin.updateJobs({ jobIds, priority: 1_001 }), "priority", "BAD_FIELD");
  await refused(admin.updateJobs({ jobIds: ["a", ""], priority: 1 }), "job_ids[1]", "BAD_FIELD");
  await refused(admin.releaseJobs({ jobIds: Array(1_001).fill("a") }), "job_ids", "BAD_FIELD", /split the batch/);
  await refused(admin.releaseJobs({ jobIds, reason: "x".repeat(501) }), "reason", "BAD_FIELD");
  await refused(admin.releaseJobs({ jobIds, delay: { seconds: -1n } }), "delay", "BAD_FIELD");
  await refused(admin.releaseJobs({ jobIds, delay: { seconds: 31n * 86_400n } }), "delay", "BAD_FIELD");
  expect(calls).toEqual([]);
});

test("a job that is taken from one worker goes to another that waits, at once", async ({ db }) => {
  await using broker = startMoves(db);
  const { admin, worker } = serviceClients({ moves: broker.moves, db });
  await broker.moves.dispatch([newJob({ id: "a" })]);
  await worker.claim({ workerId: "slow" });
  const next = worker.claim({ workerId: "quick", wait: { seconds: 30n } });
  await until("the claim waits", () => broker.waiters.waiting === 1);
  await admin.releaseJobs({ jobIds: ["a"], reason: "it hangs" });
  expect((await next).jobs[0]).toMatchObject({ job: { id: "a" }, attempt: 1, lockedBy: "quick" });
  const line = broker.lines.map((text) => JSON.parse(text)).find(({ move }) => move === "release");
  expect(line).toMatchObject({ job_id: "a", to: "PENDING", worker: "slow", by: "operator", why: "it hangs" });
});

test("with a delay the same worker waits for the rest of it", async ({ db }) => {
  await using broker = startMoves(db);
  const { admin, worker } = serviceClients({ moves: broker.moves, db });
  await broker.moves.dispatch([newJob({ id: "a" })]);
  await worker.claim({ workerId: "w" });
  const next = worker.claim({ workerId: "w", wait: { seconds: 30n } });
  await until("the claim waits", () => broker.waiters.waiting === 1);
  await admin.releaseJobs({ jobIds: ["a"], delay: { nanos: 150_000_000 } });
  expect(await statusOf(db, "a")).toBe("PENDING");
  expect((await next).jobs[0]).toMatchObject({ job: { id: "a" } });
});

test("another priority is written down and logged", async ({ db }) => {
  await using broker = startMoves(db);
  const { admin } = serviceClients({ moves: broker.moves, db });
  await broker.moves.dispatch([newJob({ id: "a" })]);
  await admin.updateJobs({ jobIds: ["a"], priority: -3 });
  expect((await rowOf(db, "a"))["priority"]).toBe(-3);
  const line = broker.lines.map((text) => JSON.parse(text)).find(({ move }) => move === "update");
  expect(line).toMatchObject({ job_id: "a", type: "ocr", priority: -3 });
});
