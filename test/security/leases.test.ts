/** A worker touches only its own leases: what it does not hold the token of, it cannot move, by any call. */
import { expect } from "vitest";
import { AIResultStatus, type ClaimedJob } from "../../src/gen/aibroker/v1/job_pb.ts";
import { LeaseVerdict, ReportStatus, WorkerService } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { startTestBroker, type TestBroker } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { openWorker } from "../support/work-words.ts";

interface Theft {
  jobId: string;
  leaseToken: string;
}

/** The victim's job, and its job id with every token that a thief may have or guess. */
async function given(broker: TestBroker): Promise<{ held: ClaimedJob; thefts: Theft[] }> {
  await broker.jobs.dispatch({ jobs: [{ type: "ocr", payloadJson: "{}" }, { type: "note" }] });
  const [held] = (await broker.worker.claim({ workerId: "victim", types: ["ocr"] })).jobs;
  const [own] = (await broker.worker.claim({ workerId: "thief", types: ["note"] })).jobs;
  const token = held?.leaseToken ?? "";
  const guesses = [
    own?.leaseToken ?? "",
    "",
    "%",
    token.slice(0, -1),
    `${token} `,
    token.toUpperCase(),
    "00000000-0000-0000-0000-000000000000",
    "' OR '1'='1",
  ].filter((guess) => guess !== token);
  return {
    held: held as ClaimedJob,
    thefts: guesses.map((leaseToken) => ({ jobId: held?.job?.id ?? "", leaseToken })),
  };
}

const itemOf = ({ jobId, leaseToken }: Theft, status: AIResultStatus) => ({ leaseToken, result: { jobId, status } });

async function expectUntouched(broker: TestBroker, held: ClaimedJob): Promise<void> {
  const lease = { jobId: held.job?.id ?? "", leaseToken: held.leaseToken };
  const { job } = await broker.jobs.getJob({ jobId: lease.jobId });
  expect([job?.lockedBy, job?.attemptCount, job?.progress, job?.result]).toEqual(["victim", 1, undefined, undefined]);
  const { leases } = await broker.worker.heartbeat({ workerId: "victim", leases: [lease] });
  expect(leases.map(({ verdict }) => verdict)).toEqual([LeaseVerdict.CONTINUE]);
}

test("the calls that name a lease are these, so a new one needs a case here", () => {
  expect(WorkerService.methods.map(({ name }) => name).sort()).toEqual([
    "Claim",
    "Heartbeat",
    "Release",
    "Report",
    "Work",
  ]);
});

test("by Heartbeat, Report and Release", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  const { held, thefts } = await given(broker);
  for (const workerId of ["thief", "victim"]) {
    const leases = thefts.map((theft) => ({ ...theft, progress: { percent: 99 } }));
    const beats = await broker.worker.heartbeat({ workerId, leases });
    expect(beats.leases.map(({ verdict }) => verdict)).toEqual(thefts.map(() => LeaseVerdict.LOST));
    for (const status of [AIResultStatus.AI_RESULT_STATUS_DONE, AIResultStatus.AI_RESULT_STATUS_FAILED]) {
      const reported = await broker.worker.report({ workerId, items: thefts.map((theft) => itemOf(theft, status)) });
      expect(reported.results.map((one) => one.status)).toEqual(thefts.map(() => ReportStatus.LEASE_LOST));
    }
    const released = await broker.worker.release({ workerId, leases: thefts });
    expect(released.results.map((one) => one.released)).toEqual(thefts.map(() => false));
  }
  await expectUntouched(broker, held);
});

test("by Claim, which replays nobody else's leases", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  await broker.jobs.dispatch({ jobs: [{ type: "ocr", payloadJson: "{}" }] });
  const call = { types: ["ocr"], requestId: "same" };
  const [held] = (await broker.worker.claim({ ...call, workerId: "victim" })).jobs;
  expect((await broker.worker.claim({ ...call, workerId: "thief" })).jobs).toEqual([]);
  expect((await broker.worker.claim({ ...call, workerId: "victim" })).jobs.map((one) => one.leaseToken)).toEqual([
    held?.leaseToken,
  ]);
});

test("by every frame of a Work stream that names a lease", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  const { held, thefts } = await given(broker);
  await using work = await openWorker(broker, { workerId: "thief", types: ["other"], held: thefts.slice(0, 1) });
  expect(work.welcome.held.map(({ verdict }) => verdict)).toEqual([LeaseVerdict.LOST]);
  work.send({ heartbeat: { id: 1n, leases: thefts } });
  const { leases } = await work.next("heartbeatAck");
  expect(leases.map(({ verdict }) => verdict)).toEqual(thefts.map(() => LeaseVerdict.LOST));
  work.send({ reports: { id: 2n, items: thefts.map((one) => itemOf(one, AIResultStatus.AI_RESULT_STATUS_DONE)) } });
  const { results } = await work.next("reportAck");
  expect(results.map(({ status }) => status)).toEqual(thefts.map(() => ReportStatus.LEASE_LOST));
  work.send({ release: { id: 3n, leases: thefts } });
  expect((await work.next("releaseAck")).results.map(({ released }) => released)).toEqual(thefts.map(() => false));
  await expectUntouched(broker, held);
});
