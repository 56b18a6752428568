import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { AIResultStatus } from "../../src/gen/aibroker/v1/job_pb.ts";
import {
  type ClaimRequestSchema,
  type HeartbeatRequestSchema,
  type ReleaseRequestSchema,
  type ReportItemSchema,
  ReportRequestSchema,
} from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { reports } from "../../src/rpc/validate-worker.ts";
import { recordedMoves, refused, SERVICE_LIMITS, serviceClients } from "./service-clients.ts";

const { moves, calls } = recordedMoves();
const { worker } = serviceClients({ moves });
const DONE = AIResultStatus.AI_RESULT_STATUS_DONE;
const FAILED = AIResultStatus.AI_RESULT_STATUS_FAILED;

describe("worker_id", () => {
  test.for([
    ["", /is missing: give 1\.\.128 characters/],
    ["x".repeat(129), /must be 1\.\.128 characters, got 129/],
    ["a\nb", /must be printable characters, got "a\\nb"/],
    ["a\u007f", /must be printable/],
    ["a\0", /U\+0000/],
    ["a\u200b\u0085", /must be printable/],
  ] as [string, RegExp][])("is refused by every call: %j", async ([workerId, message]) => {
    const lease = { jobId: "a", leaseToken: "t" };
    await refused(worker.claim({ workerId }), "worker_id", "BAD_FIELD", message);
    await refused(worker.heartbeat({ workerId, leases: [lease] }), "worker_id", "BAD_FIELD", message);
    await refused(worker.report({ workerId, items: [{}] }), "worker_id", "BAD_FIELD", message);
    await refused(worker.release({ workerId, leases: [lease] }), "worker_id", "BAD_FIELD", message);
    expect(calls).toEqual([]);
  });
});

test.for([
  ["types[2]", { types: ["a", "b", ""] }, /is missing/],
  ["types[0]", { types: ["x".repeat(51)] }, /1\.\.50 characters/],
  ["types", { types: Array(101).fill("a") }, /at most 100 types, got 101: give none for any type/],
  ["max_jobs", { maxJobs: -1 }, /must be 0\.\.1000, got -1/],
  ["max_jobs", { maxJobs: 1_001 }, /must be 0\.\.1000, got 1001/],
  ["wait", { wait: { seconds: -1n } }, /must be 0\.\.30 s, got -1 s/],
  ["wait", { wait: { nanos: -1 } }, /must be 0\.\.30 s/],
  ["wait", { wait: { seconds: 30n, nanos: 1 } }, /must be 0\.\.30 s/],
  ["wait", { wait: { seconds: 2n ** 62n } }, /must be 0\.\.30 s/],
  ["wait", { wait: { seconds: 1n, nanos: -1 } }, /with the sign of seconds/],
  ["wait", { wait: { seconds: -1n, nanos: 1 } }, /with the sign of seconds/],
  ["wait", { wait: { nanos: 1_000_000_000 } }, /nanos below 1000000000/],
  ["request_id", { requestId: "x".repeat(65) }, /64 characters, got 65/],
] as [string, MessageInitShape<typeof ClaimRequestSchema>, RegExp][])(
  "Claim refuses %s (%#)",
  async ([field, request, message]) => {
    await refused(worker.claim({ workerId: "w", ...request }), field, "BAD_FIELD", message);
    expect(calls).toEqual([]);
  },
);

const good = { jobId: "a", leaseToken: "t" };
test.for([
  ["leases", { leases: [] }, /got 0: give at least one/],
  ["leases", { leases: Array(1_001).fill(good) }, /got 1001: split/],
  ["leases[1].job_id", { leases: [good, { leaseToken: "t" }] }, /is missing/],
  ["leases[0].job_id", { leases: [{ ...good, jobId: "x".repeat(65) }] }, /got 65/],
  [
    "leases[2].progress.percent",
    { leases: [good, good, { ...good, progress: { percent: 101 } }] },
    /must be 0\.\.100, got 101/,
  ],
  ["leases[0].progress.percent", { leases: [{ ...good, progress: { percent: -1 } }] }, /must be 0\.\.100/],
  ["leases[0].progress.note", { leases: [{ ...good, progress: { note: "x".repeat(501) } }] }, /500 characters/],
] as [string, MessageInitShape<typeof HeartbeatRequestSchema>, RegExp][])(
  "Heartbeat refuses %s (%#)",
  async ([field, request, message]) => {
    await refused(worker.heartbeat({ workerId: "w", ...request }), field, "BAD_FIELD", message);
    expect(calls).toEqual([]);
  },
);

test.for([
  ["leases", { leases: [] }, /got 0/],
  ["leases", { leases: Array(1_001).fill(good) }, /got 1001/],
  ["leases[0].job_id", { leases: [{ leaseToken: "t" }] }, /is missing/],
  ["reason", { leases: [good], reason: "x".repeat(501) }, /500 characters/],
] as [string, MessageInitShape<typeof ReleaseRequestSchema>, RegExp][])(
  "Release refuses %s (%#)",
  async ([field, request, message]) => {
    await refused(worker.release({ workerId: "w", ...request }), field, "BAD_FIELD", message);
    expect(calls).toEqual([]);
  },
);

const done = { jobId: "a", status: DONE };
test.for([
  ["result", "BAD_FIELD", {}, /is missing: give job_id and status/],
  ["result.job_id", "BAD_FIELD", { result: { status: DONE } }, /is missing/],
  ["result.status", "BAD_FIELD", { result: { jobId: "a" } }, /must be AI_RESULT_STATUS_DONE or .*, got none/],
  ["result.status", "BAD_FIELD", { result: { jobId: "a", status: 9 as 1 } }, /got the number 9/],
  ["result.result_json", "PAYLOAD_NOT_OBJECT", { result: { ...done, resultJson: "[]" } }, /got an array/],
  ["result.result_json", "PAYLOAD_NOT_OBJECT", { result: { ...done, resultJson: "{" } }, /the text of one JSON object/],
  ["result.result_json", "BAD_FIELD", { result: { ...done, resultJson: '{"a":"\\u0000"}' } }, /U\+0000/],
  [
    "result.result_json",
    "PAYLOAD_TOO_LARGE",
    { result: { ...done, resultJson: `{"a":"${"x".repeat(8_388_608)}"}` } },
    /the limit is 8388608 \(MAX_RESULT_BYTES\)/,
  ],
  ["result.error", "BAD_FIELD", { result: { jobId: "a", status: FAILED, error: "a\0" } }, /U\+0000/],
  [
    "retry_delay",
    "BAD_FIELD",
    { result: { ...done }, retryDelay: { seconds: -1n } },
    /must be 0\.\.2592000 s, got -1 s/,
  ],
  [
    "retry_delay",
    "BAD_FIELD",
    { result: { ...done }, retryDelay: { seconds: 2_592_000n, nanos: 1 } },
    /must be 0\.\.2592000 s/,
  ],
] as [string, string, MessageInitShape<typeof ReportItemSchema>, RegExp][])(
  "Report refuses the whole batch for %s: %s (%#)",
  async ([field, reason, item, message]) => {
    const items = [
      { leaseToken: "t", result: done },
      { leaseToken: "t", ...item },
    ];
    await refused(worker.report({ workerId: "w", items }), `items[1].${field}`, reason, message);
    expect(calls).toEqual([]);
  },
);

test("Report refuses an empty batch, one of more than 1000, and one that is too large in all", async () => {
  await refused(worker.report({ workerId: "w" }), "items", "BAD_FIELD", /got 0/);
  const many = Array(1_001).fill({ leaseToken: "t", result: done });
  await refused(worker.report({ workerId: "w", items: many }), "items", "BAD_FIELD", /got 1001/);
  const large = Array(3).fill({ leaseToken: "t", result: { ...done, resultJson: `{"a":"${"x".repeat(6_000_000)}"}` } });
  await refused(worker.report({ workerId: "w", items: large }), "items", "PAYLOAD_TOO_LARGE", /MAX_REQUEST_BYTES/);
  expect(calls).toEqual([]);
});

function stored(...items: MessageInitShape<typeof ReportItemSchema>[]) {
  return reports(create(ReportRequestSchema, { items }).items, SERVICE_LIMITS);
}

test("a report's defaults: retryable, the usual delay, no result, 'failed'", () => {
  expect(stored({ leaseToken: "t", result: { jobId: "a", status: FAILED } })).toEqual([
    { jobId: "a", token: "t", status: "FAILED", result: null, error: "failed", retryable: true, retryDelayMs: null },
  ]);
});

test("a report passes as it is: the result's text, the delay to the millisecond, the error cut at 5,000 characters", () => {
  const error = "😀".repeat(5_001);
  const result = { jobId: "a", status: FAILED, resultJson: ' {"b":1.0,"a":{}} ', error };
  expect(
    stored({ leaseToken: "t", result, retryable: false, retryDelay: { seconds: 1n, nanos: 500_000_001 } }),
  ).toEqual([
    {
      jobId: "a",
      token: "t",
      status: "FAILED",
      result: ' {"b":1.0,"a":{}} ',
      error: "😀".repeat(5_000),
      retryable: false,
      retryDelayMs: 1_501,
    },
  ]);
  expect(stored({ leaseToken: "t", result: { ...done, resultJson: "{}", error: "none" } })).toMatchObject([
    { result: "{}", error: "" },
  ]);
});

test.for(["", "\0", "a\ud800", "x".repeat(100_000)])(
  "a malformed lease token is a lost one, not an error: %j",
  (leaseToken) => {
    expect(stored({ leaseToken, result: done })).toMatchObject([{ token: "" }]);
  },
);
