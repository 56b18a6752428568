/** client.dispatchAndWait against a broker that does as it is told. */
import { Code } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { createClient, WaitError } from "../../src/client/index.ts";
import { waitForEnd } from "../../src/client/wait-for-end.ts";
import { type Job, JobStatus } from "../../src/gen/aibroker/v1/job_pb.ts";
import { JobEventKind } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { type FakeBroker, fakeBroker } from "./fake-broker.ts";
import { cutOff, refusal, watchesOf } from "./fake-watch.ts";
import { Mailbox } from "./mailbox.ts";

/** Jobs that are dispatched are PENDING until the test says otherwise; `asked` gets each id that is looked at. */
function jobsOf(broker: FakeBroker) {
  const status = new Map<string, JobStatus>();
  const more: Partial<Pick<Job, "lastError" | "cancelReason">> & { resultJson?: string } = {};
  const dispatched = new Mailbox<string>();
  const asked = new Mailbox<string>();
  broker.jobs.dispatch = ({ jobs }) => {
    const results = jobs.map(({ id = "" }) => ({ jobId: id, created: !status.has(id) }));
    for (const { jobId } of results) {
      status.set(jobId, status.get(jobId) ?? JobStatus.PENDING);
      dispatched.put(jobId);
    }
    return { results };
  };
  broker.jobs.getJob = ({ jobId }) => {
    asked.put(jobId);
    const now = status.get(jobId);
    if (now === undefined) throw refusal(Code.NotFound, "JOB_NOT_FOUND");
    const { resultJson, ...rest } = more;
    const result = resultJson === undefined ? {} : { result: { jobId, resultJson } };
    return { job: { job: { id: jobId, type: "ocr" }, status: now, attemptCount: 2, ...rest, ...result } };
  };
  return { status, more, dispatched, asked };
}

async function given(transport: "grpc-js" | "connect" = "grpc-js") {
  const broker = await fakeBroker();
  const client = createClient({ url: broker.url, token: "t", transport });
  const asyncDispose = async () => {
    client.close();
    await broker.stop();
  };
  return { broker, client, jobs: jobsOf(broker), watches: watchesOf(broker), [Symbol.asyncDispose]: asyncDispose };
}

describe.each(["grpc-js", "connect"] as const)("over %s", (transport) => {
  test("a job that is done resolves with its result, as soon as that is told", async () => {
    await using at = await given(transport);
    const outcome = at.client.dispatchAndWait("ocr", { image_path: "1.png" }, { tenantId: "t" });
    const watch = await at.watches.take();
    const jobId = await at.jobs.dispatched.take();
    expect(watch.request).toMatchObject({ jobIds: [jobId], changesOnly: false });
    watch.state([jobId], "c1");
    at.jobs.status.set(jobId, JobStatus.DONE);
    at.jobs.more.resultJson = '{"text":"hello"}';
    watch.changes([`${jobId}/3`], "c2", JobEventKind.DONE);
    expect(await outcome).toEqual({ status: "DONE", jobId, attempts: 2, result: { text: "hello" }, error: undefined });
    await watch.left;
    expect(at.jobs.asked.waiting).toEqual([jobId]);
  });

  test("a job that ended before the watch began is in its state", async () => {
    await using at = await given(transport);
    const outcome = at.client.dispatchAndWait("mine", {});
    const watch = await at.watches.take();
    const jobId = await at.jobs.dispatched.take();
    at.jobs.status.set(jobId, JobStatus.DONE);
    watch.state([jobId], "c1", { status: JobStatus.DONE });
    expect(await outcome).toMatchObject({ status: "DONE", result: undefined });
  });
});

test.each([
  [JobStatus.FAILED, { lastError: "no ink", cancelReason: "" }, { status: "FAILED", error: "no ink" }],
  [JobStatus.CANCELLED, { lastError: "no ink", cancelReason: "a slip" }, { status: "CANCELLED", error: "a slip" }],
  [JobStatus.CANCELLED, { lastError: "", cancelReason: "" }, { status: "CANCELLED", error: undefined }],
])("a job that ends otherwise (%i) resolves, too", async (status, more, expected) => {
  await using at = await given();
  const outcome = at.client.dispatchAndWait("mine", {}, { id: "a" });
  const watch = (await at.watches.take()).state(["a"], "c1");
  at.jobs.status.set("a", status);
  Object.assign(at.jobs.more, more);
  watch.changes(["a/3"], "c2", status === JobStatus.FAILED ? JobEventKind.FAILED : JobEventKind.CANCELLED);
  expect(await outcome).toEqual({ jobId: "a", attempts: 2, result: undefined, ...expected });
});

test("a Dispatch whose answer was lost is sent again with the same id, and that job is waited for", async () => {
  await using at = await given();
  const { dispatch } = at.broker.jobs;
  let faults = 1;
  at.broker.jobs.dispatch = (request, context) => {
    const answer = dispatch?.(request, context) ?? {};
    if (faults-- > 0) throw cutOff();
    return answer;
  };
  const outcome = at.client.dispatchAndWait("mine", {});
  const watch = await at.watches.take();
  const [first, second] = [await at.jobs.dispatched.take(), await at.jobs.dispatched.take()];
  expect(second).toBe(first);
  at.jobs.status.set(first, JobStatus.DONE);
  watch.state([first], "c1", { status: JobStatus.DONE });
  expect(await outcome).toMatchObject({ jobId: first, status: "DONE" });
});

test("one that was started again between its end and the look is waited for on", async () => {
  await using at = await given();
  const outcome = at.client.dispatchAndWait("mine", {}, { id: "a" });
  const watch = (await at.watches.take()).state(["a"], "c1").changes(["a/3"], "c2", JobEventKind.FAILED);
  await at.jobs.asked.take();
  at.jobs.status.set("a", JobStatus.DONE);
  watch.changes(["a/6"], "c3", JobEventKind.DONE);
  expect(await outcome).toMatchObject({ status: "DONE" });
});

test("when the time is over it rejects, names the job and says that it goes on", async () => {
  await using at = await given();
  const outcome = at.client.dispatchAndWait("mine", {}, { id: "a", timeoutMs: 200 });
  const watch = (await at.watches.take()).state(["a"], "c1");
  const error = await outcome.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(WaitError);
  expect(error).toMatchObject({ name: "BrokerError", code: "DEADLINE_EXCEEDED", jobId: "a" });
  expect((error as Error).message).toBe("the job has not ended within 200 ms; the job goes on: a");
  await watch.left;
});

test("an abort rejects at once and ends the watch; a closed client does the same", async () => {
  await using at = await given();
  const stop = new AbortController();
  const aborted = at.client.dispatchAndWait("mine", {}, { id: "a", signal: stop.signal });
  const first = (await at.watches.take()).state(["a"], "c1");
  stop.abort();
  await expect(aborted).rejects.toMatchObject({ code: "CANCELLED", jobId: "a" });
  await first.left;
  const closed = at.client.dispatchAndWait("mine", {}, { id: "b" });
  await at.watches.take();
  at.client.close();
  await expect(closed).rejects.toMatchObject({ code: "CANCELLED", jobId: "b" });
  const before = at.client.dispatchAndWait("mine", {}, { signal: AbortSignal.abort() });
  await expect(before).rejects.toMatchObject({ name: "BrokerError" });
});

test("a job that is gone by the time that it is looked at is an error that says so", async () => {
  await using at = await given();
  const outcome = at.client.dispatchAndWait("mine", {}, { id: "a" });
  const watch = await at.watches.take();
  at.jobs.status.delete("a");
  watch.state([], "c1", { unknownJobIds: ["a"] });
  await expect(outcome).rejects.toMatchObject({ code: "NOT_FOUND", reason: "JOB_NOT_FOUND", jobId: "a" });
});

test("a token that is no longer good ends the wait with the job's id", async () => {
  await using at = await given();
  const outcome = at.client.dispatchAndWait("mine", {}, { id: "a" });
  const watch = await at.watches.take();
  at.broker.jobs.getJob = () => {
    throw refusal(Code.Unauthenticated, "BAD_TOKEN");
  };
  watch.end(refusal(Code.Unauthenticated, "BAD_TOKEN"));
  await expect(outcome).rejects.toMatchObject({ code: "UNAUTHENTICATED", reason: "BAD_TOKEN", jobId: "a" });
});

test("of many waits only so many watch at a time, and who is done makes room for the next", async () => {
  await using at = await given();
  const stop = new AbortController();
  const wait = (id: string) =>
    at.client.dispatchAndWait("mine", {}, { id, signal: stop.signal }).catch(() => undefined);
  const outcomes = Array.from({ length: 203 }, (_, n) => wait(`job-${n}`));
  const first = await at.watches.take();
  for (let count = 1; count < 200; count += 1) await at.watches.take();
  for (let count = 0; count < 203; count += 1) await at.jobs.dispatched.take();
  await at.client.get("job-0");
  expect(at.watches.waiting).toEqual([]);
  const [jobId = ""] = first.request.jobIds;
  at.jobs.status.set(jobId, JobStatus.DONE);
  first.state([jobId], "c1", { status: JobStatus.DONE });
  const next = await at.watches.take();
  expect(next.request.jobIds).not.toEqual([jobId]);
  stop.abort();
  expect((await Promise.all(outcomes)).filter((outcome) => outcome !== undefined)).toHaveLength(1);
  await next.left;
  expect(at.watches.waiting).toEqual([]);
});

describe("a wait that is told nothing", () => {
  const waiting = (at: Awaited<ReturnType<typeof given>>) => ({
    jobId: "a",
    timeoutMs: undefined,
    beganAt: performance.now(),
    signal: undefined,
    watch: (signal: AbortSignal) => at.client.watch({ jobIds: ["a"] }, { signal }),
    get: (signal: AbortSignal) => at.client.get("a", { signal, timeoutMs: 50 }),
    onClose: () => () => undefined,
    lookMs: 20,
  });

  test("looks at the job itself every few seconds", async () => {
    await using at = await given();
    at.jobs.status.set("a", JobStatus.RUNNING);
    const ended = waitForEnd(waiting(at));
    const watch = (await at.watches.take()).state(["a"], "c1");
    for (let count = 0; count < 3; count += 1) await at.jobs.asked.take();
    at.jobs.status.set("a", JobStatus.DONE);
    expect(await ended).toMatchObject({ id: "a", status: "DONE" });
    await watch.left;
  });

  test("goes on through a broker without WatchJobs, and one that is away for a while", async () => {
    await using at = await given();
    at.jobs.status.set("a", JobStatus.RUNNING);
    const { getJob } = at.broker.jobs;
    const ended = waitForEnd(waiting(at));
    (await at.watches.take()).end(refusal(Code.Unimplemented, "NONE"));
    await at.jobs.asked.take();
    const away = new Mailbox<void>();
    at.broker.jobs.getJob = () => {
      away.put();
      throw cutOff();
    };
    await away.take();
    await away.take();
    at.jobs.status.set("a", JobStatus.DONE);
    at.broker.jobs.getJob = getJob as NonNullable<typeof getJob>;
    expect(await ended).toMatchObject({ status: "DONE" });
  });
});
