/** Each bound of what a worker may say on a Work stream: over it the stream ends, names the field, and nothing is written. */
import { Code } from "@connectrpc/connect";
import { expect } from "vitest";
import { AIResultStatus } from "../../src/gen/aibroker/v1/job_pb.ts";
import { LeaseVerdict } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { startTestBroker, type TestBroker } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { rowOf } from "../support/jobs.ts";
import { type Ended, openWork, type Sent } from "../support/raw-work.ts";
import { dispatchAll, hearAll, leaseOf, openWorker, takeJob } from "../support/work-words.ts";

const DONE = AIResultStatus.AI_RESULT_STATUS_DONE;
type Hello = NonNullable<Sent["hello"]>;

const many = <T>(count: number, make: (at: number) => T): T[] => Array.from({ length: count }, (_, at) => make(at));
const limits = (count: number, max = 1) => Object.fromEntries(many(count, (at) => [`t${at}`, max]));

/** What a client reads of a refusal: the code's name, the reason and the field. */
function refusal(end: Ended): string {
  if (end.fields === undefined) return "OK";
  const [field, violation] = end.fields;
  expect(violation).toBe(field);
  return `${Code[end.code]} ${end.reason} ${field}`;
}

const bad = (field: string) => `InvalidArgument BAD_FIELD ${field}`;

const HELLOS: [what: string, hello: Partial<Hello>, refusal: string][] = [
  ["no worker_id", { workerId: "" }, bad("hello.worker_id")],
  ["a long worker_id", { workerId: "w".repeat(129) }, bad("hello.worker_id")],
  ["a line break in worker_id", { workerId: "a\nb" }, bad("hello.worker_id")],
  ["U+0000 in worker_id", { workerId: "a\0b" }, bad("hello.worker_id")],
  ["a long instance_id", { instanceId: "i".repeat(65) }, bad("hello.instance_id")],
  ["a space in instance_id", { instanceId: "a b" }, bad("hello.instance_id")],
  ["an instance_id that is not ASCII", { instanceId: "가" }, bad("hello.instance_id")],
  ["too many types", { types: many(101, (at) => `t${at}`) }, bad("hello.types")],
  ["an empty type", { types: ["a", ""] }, bad("hello.types[1]")],
  ["a long type", { types: ["x".repeat(51)] }, bad("hello.types[0]")],
  ["a negative max_in_flight", { maxInFlight: -1 }, bad("hello.max_in_flight")],
  ["a large max_in_flight", { maxInFlight: 1_001 }, bad("hello.max_in_flight")],
  ["too many limits", { maxByType: limits(101) }, bad("hello.max_by_type")],
  ["a negative limit", { maxByType: { ocr: -1 } }, bad('hello.max_by_type["ocr"]')],
  ["a large limit", { maxByType: { ocr: 1_001 } }, bad('hello.max_by_type["ocr"]')],
  ["a limit for no type", { maxByType: { "": 1 } }, bad('hello.max_by_type[""]')],
  ["a limit for a long type", { maxByType: { ["x".repeat(51)]: 1 } }, "InvalidArgument BAD_FIELD hello.max_by_type["],
  ["too many leases", { held: many(1_001, (at) => ({ jobId: `j${at}`, leaseToken: `${at}` })) }, bad("hello.held")],
  ["a lease without a job", { held: [{ jobId: "", leaseToken: "t" }] }, bad("hello.held[0].job_id")],
  ["a lease of a long job id", { held: [{ jobId: "j".repeat(65), leaseToken: "t" }] }, bad("hello.held[0].job_id")],
  ["a lease twice", { held: many(2, () => ({ jobId: "j", leaseToken: "t" })) }, bad("hello.held")],
  ["a long client", { client: "c".repeat(129) }, bad("hello.client")],
  ["U+0000 in client", { client: "a\0" }, bad("hello.client")],
];

test("each bound of a Hello is told by its field, and no session is written", { timeout: 60_000 }, async ({
  db,
  url,
}) => {
  await using broker = await startTestBroker(url);
  const told: [string, string][] = [];
  for (const [what, hello, expected] of HELLOS) {
    await using work = await openWork(broker.url);
    const sound = { workerId: "w1", instanceId: "copy-1", types: ["ocr"], maxInFlight: 1 };
    work.send({ hello: { ...sound, ...hello } as Hello });
    const got = refusal(await work.ended);
    told.push([what, got.startsWith(expected) ? expected : got]);
    expect(work.received).toEqual([]);
  }
  expect(told).toEqual(HELLOS.map(([what, , expected]) => [what, expected]));
  expect(await db.sql`SELECT FROM ai_session`).toHaveLength(0);
  expect(await db.sql`SELECT FROM ai_worker`).toHaveLength(0);
});

test("an ack in a Hello is refused, since there is nothing yet to ack", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  for (const ackSeq of [1n, -1n]) {
    await using work = await openWork(broker.url);
    work.send({ hello: { workerId: "w1" }, ackSeq });
    expect(refusal(await work.ended)).toBe(bad("ack_seq"));
  }
});

test("a Hello at all its bounds is taken; a lease token that cannot be one is a lost lease", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  const tokens = ["", "x".repeat(129), "a\0b", ...many(997, String)];
  await using work = await openWorker(broker, {
    workerId: "ä".repeat(128),
    instanceId: "~".repeat(64),
    types: many(100, (at) => `${at}`.padStart(50, "t")),
    maxInFlight: 1_000,
    maxByType: limits(100, 1_000),
    held: tokens.map((leaseToken, at) => ({ jobId: `${at}`.padStart(64, "j"), leaseToken })),
    client: "c".repeat(128),
  });
  expect(work.welcome.held).toHaveLength(1_000);
  for (const { verdict } of work.welcome.held) expect(verdict).toBe(LeaseVerdict.LOST);
});

const lease = { jobId: "j", leaseToken: "t" };
const leases = (count: number) => many(count, (at) => ({ jobId: `j${at}`, leaseToken: `${at}` }));
const item = (result: object, more: object = {}) => ({
  leaseToken: "t",
  result: { jobId: "j", status: DONE, resultJson: "{}", ...result },
  ...more,
});
/** Behind a sound report of the job that the worker holds: of that nothing may be stored either. */
const behind = (result: object, more?: object): Sent => ({ reports: { items: [SOUND, item(result, more)] } });
const SOUND = { leaseToken: "its own", result: { jobId: "held", status: DONE, resultJson: "{}" } };
const at = (path: string) => `reports.items[1]${path}`;
const nested = `${'{"a":'.repeat(65)}1${"}".repeat(65)}`;
const large = (count: number) => JSON.stringify({ text: "x".repeat(count) });
const RESULT = "result.result_json";

const FRAMES: [what: string, frame: Sent, refusal: string][] = [
  ["a negative ack_seq", { ackSeq: -1n }, bad("ack_seq")],
  ["an ack_seq of a frame to come", { ackSeq: 2n }, bad("ack_seq")],
  ["a negative capacity", { capacity: { maxInFlight: -1 } }, bad("capacity.max_in_flight")],
  ["a large capacity", { capacity: { maxInFlight: 1_001 } }, bad("capacity.max_in_flight")],
  ["too many limits", { capacity: { maxByType: limits(101) } }, bad("capacity.max_by_type")],
  ["a large limit", { capacity: { maxByType: { ocr: 1_001 } } }, bad('capacity.max_by_type["ocr"]')],
  ["too many heartbeats", { heartbeat: { leases: leases(1_001) } }, bad("heartbeat.leases")],
  [
    "a heartbeat without a job",
    { heartbeat: { leases: [lease, { ...lease, jobId: "" }] } },
    bad("heartbeat.leases[1].job_id"),
  ],
  [
    "a percentage over 100",
    { heartbeat: { leases: [{ ...lease, progress: { percent: 101 } }] } },
    bad("heartbeat.leases[0].progress.percent"),
  ],
  [
    "a long note",
    { heartbeat: { leases: [{ ...lease, progress: { note: "n".repeat(501) } }] } },
    bad("heartbeat.leases[0].progress.note"),
  ],
  ["no report", { reports: { items: [] } }, bad("reports.items")],
  ["too many reports", { reports: { items: many(1_001, () => item({})) } }, bad("reports.items")],
  ["a report without a result", { reports: { items: [SOUND, { leaseToken: "t" }] } }, bad(at(".result"))],
  ["a report of no job", behind({ jobId: "" }), bad(at(".result.job_id"))],
  ["a report without a status", behind({ status: 0 }), bad(at(".result.status"))],
  ["a report of an unknown status", behind({ status: 9 }), bad(at(".result.status"))],
  [
    "a result that is no object",
    behind({ resultJson: "[1]" }),
    `InvalidArgument PAYLOAD_NOT_OBJECT ${at(`.${RESULT}`)}`,
  ],
  ["a result that is no JSON", behind({ resultJson: "{" }), `InvalidArgument PAYLOAD_NOT_OBJECT ${at(`.${RESULT}`)}`],
  ["a result that is nested too deep", behind({ resultJson: nested }), bad(at(`.${RESULT}`))],
  ["U+0000 in a result", behind({ resultJson: '{"a":"\\u0000"}' }), bad(at(`.${RESULT}`))],
  [
    "a result that is too large",
    behind({ resultJson: large(3_000) }),
    `InvalidArgument PAYLOAD_TOO_LARGE ${at(`.${RESULT}`)}`,
  ],
  [
    "results that are too large in all",
    { reports: { items: [SOUND, ...many(12, () => item({ resultJson: large(1_900) }))] } },
    "InvalidArgument PAYLOAD_TOO_LARGE reports.items",
  ],
  ["a long retry_delay", behind({}, { retryDelay: { seconds: 2_592_001n } }), bad(at(".retry_delay"))],
  ["a negative retry_delay", behind({}, { retryDelay: { seconds: -1n } }), bad(at(".retry_delay"))],
  ["no release", { release: { leases: [] } }, bad("release.leases")],
  ["too many releases", { release: { leases: leases(1_001) } }, bad("release.leases")],
  ["a release without a job", { release: { leases: [{ ...lease, jobId: "" }] } }, bad("release.leases[0].job_id")],
  ["a long reason", { release: { leases: [lease], reason: "r".repeat(501) } }, bad("release.reason")],
];

/** Sends the frame on a stream of its own, whose worker holds a job that it has acked. */
async function endOf(broker: TestBroker, frame: Sent): Promise<{ end: Ended; said: (string | undefined)[] }> {
  await using work = await openWorker(broker, { instanceId: "copy-1", maxInFlight: 1 });
  const job = await takeJob(work);
  await hearAll(work);
  const before = work.received.length;
  const { items } = frame.reports ?? {};
  // The sound one in front gets the token that is right.
  const sound = items?.map((one) => (one === SOUND ? { ...SOUND, leaseToken: leaseOf(job).leaseToken } : one));
  work.send(sound === undefined ? frame : { reports: { items: sound } });
  const end = await work.ended;
  return { end, said: work.received.slice(before).map((message) => message.frame.case) };
}

test("each bound of the later messages ends the stream and is told by its field; of the message nothing is stored", {
  timeout: 60_000,
}, async ({ db, url }) => {
  await using broker = await startTestBroker(url, {
    MAX_PAYLOAD_BYTES: "2000",
    MAX_RESULT_BYTES: "2000",
    MAX_REQUEST_BYTES: "20000",
  });
  await dispatchAll(broker, ["held"], { maxAttempts: 1_000 });
  const told: [string, string][] = [];
  for (const [index, [what, frame]] of FRAMES.entries()) {
    const { end, said } = await endOf(broker, frame);
    told.push([what, refusal(end)]);
    expect([what, said]).toEqual([what, []]);
    // Acked, so its own until the next Hello, which does not name it.
    expect(await rowOf(db, "held")).toMatchObject({ status: "RUNNING", attempt_count: index + 1 });
  }
  expect(told).toEqual(FRAMES.map(([what, , expected]) => [what, expected]));
  expect(await db.sql`SELECT FROM ai_result`).toHaveLength(0);
  expect(broker.lines.filter((line) => line.includes("a fault of the broker"))).toEqual([]);
});

test("a Drain with a long reason is refused like any other message", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  await using work = await openWorker(broker, { maxInFlight: 1 });
  await dispatchAll(broker, ["a"]);
  await takeJob(work);
  work.send({ drain: { reason: "r".repeat(501) } });
  const taken = hearAll(work).then(
    () => "taken",
    () => "over",
  );
  expect(await taken).toBe("over");
  expect(refusal(await work.ended)).toBe(bad("drain.reason"));
});

test("the later messages are taken at their bounds", async ({ db: _, url }) => {
  await using broker = await startTestBroker(url);
  await using work = await openWorker(broker);
  work.send({ capacity: { maxInFlight: 1_000, maxByType: limits(100, 1_000) } });
  work.send({ heartbeat: { id: 1n, leases: leases(1_000) } });
  expect((await work.next("heartbeatAck")).leases).toHaveLength(1_000);
  work.send({ reports: { id: 2n, items: many(1_000, (n) => item({ jobId: `j${n}` })) } });
  expect((await work.next("reportAck")).results).toHaveLength(1_000);
  work.send({ release: { id: 3n, leases: leases(1_000), reason: "r".repeat(500) } });
  expect((await work.next("releaseAck")).results).toHaveLength(1_000);
  work.send({ reports: { id: 4n, items: [item({}, { retryDelay: { seconds: 2_592_000n } })] } });
  expect((await work.next("reportAck")).results).toHaveLength(1);
});
