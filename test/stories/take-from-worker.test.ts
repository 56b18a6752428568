/** An operator takes a job from its worker: whoever has it hears that it is lost, by the way that it has. */
import { expect } from "vitest";
import { CancelReason, LeaseVerdict } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { startTestBroker } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { rowOf, statusOf } from "../support/jobs.ts";
import { dispatchAll, leaseOf, openWorker, outcomes, takeJob } from "../support/work-words.ts";

test.for(["same", "other"] as const)(
  "a streaming worker of the %s broker hears it at once, and its seat is free again",
  async (where, { db, url }) => {
    await using here = await startTestBroker(url);
    await using there = await startTestBroker(url);
    const caller = where === "same" ? here : there;
    await using work = await openWorker(here, { maxInFlight: 1 });
    await dispatchAll(here, ["a"]);
    const job = await takeJob(work);
    await caller.admin.releaseJobs({ jobIds: ["a"], reason: "it hangs", delay: { seconds: 3_600n } });
    expect(await work.next("cancel", 3_000)).toMatchObject({ ...leaseOf(job), reason: CancelReason.LOST });
    expect(outcomes((await work.report([job])).results)).toEqual(["a: LEASE_LOST"]);
    expect(await rowOf(db, "a")).toMatchObject({ status: "PENDING", attempt_count: 0 });
    await dispatchAll(here, ["b"]);
    expect((await takeJob(work)).job?.id).toBe("b");
  },
);

test("a worker that calls hears it with its next heartbeat", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  await dispatchAll(broker, ["a"]);
  const { jobs } = await broker.worker.claim({ workerId: "w" });
  const lease = { jobId: "a", leaseToken: jobs[0]?.leaseToken ?? "" };
  await broker.admin.releaseJobs({ jobIds: ["a"], delay: { seconds: 3_600n } });
  const { leases } = await broker.worker.heartbeat({ workerId: "w", leases: [lease] });
  expect(leases).toMatchObject([{ jobId: "a", verdict: LeaseVerdict.LOST }]);
  expect(await statusOf(db, "a")).toBe("PENDING");
});

test("a legacy worker's job goes to the next who asks; what it still fails changes nothing", async ({ db, url }) => {
  await using broker = await startTestBroker(url);
  await dispatchAll(broker, ["a"]);
  expect(await broker.rest("GET", "next", undefined, "old-1")).toMatchObject({ body: { job: { id: "a" } } });
  await broker.admin.releaseJobs({ jobIds: ["a"] });
  expect(await broker.rest("GET", "next", undefined, "old-2")).toMatchObject({ body: { job: { id: "a" } } });
  const late = await broker.rest("POST", "result", { job_id: "a", status: "FAILED", error: "late" }, "old-1");
  expect(late.body).toEqual({ ok: true, detail: "duplicate_ignored" });
  expect(await rowOf(db, "a")).toMatchObject({ status: "RUNNING", locked_by: "old-2", attempt_count: 1 });
});
