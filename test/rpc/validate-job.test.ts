import { create, type MessageInitShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BrokerError } from "../../src/errors.ts";
import {
  DispatchRequestSchema,
  type ListJobsRequestSchema,
  type NewJobSchema,
} from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { newJobs } from "../../src/rpc/validate-job.ts";
import { recordedMoves, refused, SERVICE_LIMITS, serviceClients } from "./service-clients.ts";

type NewJob = MessageInitShape<typeof NewJobSchema>;

const { moves, calls } = recordedMoves();
const { jobs, admin } = serviceClients({ moves });

function fill(length: number, text = "x"): string {
  return text.repeat(length);
}

describe("a job is refused, and none of its batch is dispatched, for", () => {
  test.for([
    ["type", { type: "" }, /is missing: give 1\.\.50 characters/],
    ["type", { type: fill(51) }, /must be 1\.\.50 characters, got 51: shorten it/],
    ["type", { type: "o\0cr" }, /U\+0000/],
    ["id", { id: "" }, /is empty: give 1\.\.64 characters, or leave it out/],
    ["id", { id: fill(65) }, /must be 1\.\.64 characters, got 65/],
    ["id", { id: "\0" }, /U\+0000/],
    ["tenant_id", { tenantId: fill(65) }, /0\.\.64 characters, got 65/],
    ["source_domain", { sourceDomain: fill(65) }, /0\.\.64 characters/],
    ["source_id", { sourceId: `${fill(64, "😀")}x` }, /0\.\.64 characters, got 65/],
    ["source_id", { sourceId: "a\0" }, /U\+0000/],
    ["priority", { priority: 1_001 }, /must be -1000\.\.1000, got 1001/],
    ["priority", { priority: -1_001 }, /must be -1000\.\.1000, got -1001/],
    ["max_attempts", { maxAttempts: 0 }, /must be 1\.\.1000, got 0/],
    ["max_attempts", { maxAttempts: -1 }, /must be 1\.\.1000/],
    ["max_attempts", { maxAttempts: 1_001 }, /must be 1\.\.1000, got 1001/],
    ["run_at", { runAt: { seconds: -62_135_596_801n, nanos: 0 } }, /must be within 0001-.* to 9999-/],
    ["run_at", { runAt: { seconds: 253_402_300_800n, nanos: 0 } }, /check its unit/],
    ["run_at", { runAt: { seconds: 2n ** 63n - 1n, nanos: 0 } }, /must be within/],
    ["run_at", { runAt: { seconds: 0n, nanos: -1 } }, /nanos of 0\.\.999999999, got -1/],
    ["run_at", { runAt: { seconds: 0n, nanos: 1_000_000_000 } }, /nanos of 0\.\.999999999/],
    ["idempotency_key", { idempotencyKey: fill(65) }, /64 characters, got 65/],
    ["traceparent", { traceparent: fill(129) }, /128 characters, got 129/],
    ["payload_json.academy_id", { payloadJson: '{"academy_id":"12"}' }, /must be an integer, got "12"/],
  ] as [string, NewJob, RegExp][])("%s (%#)", async ([field, fault, message]) => {
    const batch = [{ type: "ocr" }, { type: "ocr" }, { type: "ocr" }, { type: "ocr", ...fault }];
    await refused(jobs.dispatch({ jobs: batch }), `jobs[3].${field}`, "BAD_FIELD", message);
    expect(calls).toEqual([]);
  });

  test("a payload that is no object, or is too large, has a reason of its own", async () => {
    const dispatch = (payloadJson: string) => jobs.dispatch({ jobs: [{ type: "ocr", payloadJson }] });
    await refused(dispatch("[1]"), "jobs[0].payload_json", "PAYLOAD_NOT_OBJECT", /got an array/);
    const large = `{"a":"${fill(1_048_576)}"}`;
    await refused(
      dispatch(large),
      "jobs[0].payload_json",
      "PAYLOAD_TOO_LARGE",
      /is 1048584 bytes, the limit is 1048576 \(MAX_PAYLOAD_BYTES\)/,
    );
    expect(calls).toEqual([]);
  });

  test("all texts together are too large", async () => {
    const batch = Array.from({ length: 17 }, () => ({ type: "t", payloadJson: `{"a":"${fill(1_000_000)}"}` }));
    await refused(
      jobs.dispatch({ jobs: batch }),
      "jobs",
      "PAYLOAD_TOO_LARGE",
      /in all, the limit is 16777216 \(MAX_REQUEST_BYTES\)/,
    );
    expect(calls).toEqual([]);
  });

  test("an empty batch and one of more than 1000", async () => {
    await refused(jobs.dispatch({}), "jobs", "BAD_FIELD", /must hold 1\.\.1000 items, got 0: give at least one/);
    const many = Array.from({ length: 1_001 }, () => ({ type: "t" }));
    await refused(jobs.dispatch({ jobs: many }), "jobs", "BAD_FIELD", /got 1001: split the batch/);
    expect(calls).toEqual([]);
  });

  test("a type that is not known, where types are strict", async () => {
    const strict = serviceClients({ moves, limits: { strictTypes: true } });
    await refused(
      strict.jobs.dispatch({ jobs: [{ type: "occr" }] }),
      "jobs[0].type",
      "UNKNOWN_JOB_TYPE",
      /known are embedding, /,
    );
    expect(calls).toEqual([]);
  });
});

function stored(...given: NewJob[]) {
  return newJobs(create(DispatchRequestSchema, { jobs: given }).jobs, SERVICE_LIMITS);
}

test("half of a surrogate pair is refused, raw or as an escape", () => {
  const says = expect.objectContaining({ message: expect.stringMatching(/half of a surrogate pair/) });
  expect(() => stored({ type: "o\ud800cr" })).toThrow(says);
  expect(() => stored({ type: "ocr", tenantId: "\udc00" })).toThrow(says);
  expect(() => stored({ type: "ocr", payloadJson: '{"a":"\\ud800"}' })).toThrow(says);
});

test("a job with nothing but a type gets an id and the defaults", () => {
  expect(stored({ type: "t" })).toEqual([
    {
      id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/),
      type: "t",
      payload: "{}",
      tenantId: null,
      sourceDomain: null,
      sourceId: null,
      priority: 0,
      maxAttempts: 5,
      runAt: null,
      idempotencyKey: null,
      traceparent: null,
    },
  ]);
});

test("a job at every limit passes as it is", () => {
  const payload = ' {"b": 1, "a": 12345678901234567890, "a": 1.50} ';
  const job = {
    id: fill(64, "😀"),
    type: fill(50, "한"),
    tenantId: "",
    sourceDomain: fill(64),
    sourceId: fill(64),
    priority: -1_000,
    maxAttempts: 1_000,
    idempotencyKey: fill(64),
    traceparent: fill(128),
  };
  const runAt = { seconds: 253_402_300_799n, nanos: 999_999_999 };
  expect(stored({ ...job, payloadJson: payload, runAt })).toEqual([
    { ...job, payload, runAt: new Date("9999-12-31T23:59:59.999Z") },
  ]);
});

test("an empty idempotency key is none", () => {
  expect(stored({ type: "t", idempotencyKey: "", traceparent: "" })[0]).toMatchObject({
    idempotencyKey: null,
    traceparent: null,
  });
});

test("any request is either refused by a BrokerError or within every limit", () => {
  const text = fc.string({ unit: "binary", maxLength: 70 });
  const job = fc.record(
    {
      type: fc.oneof(text, fc.constant("ocr")),
      payloadJson: fc.oneof(text, fc.json()),
      id: text,
      tenantId: text,
      priority: fc.integer(),
      maxAttempts: fc.integer({ min: -5, max: 1_200 }),
      runAt: fc.record({ seconds: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), nanos: fc.integer() }),
      idempotencyKey: text,
    },
    { requiredKeys: ["type"] },
  );
  fc.assert(
    fc.property(fc.array(job, { maxLength: 3 }), (batch) => {
      try {
        for (const one of stored(...batch)) {
          expect([...one.id].length).toBeLessThanOrEqual(64);
          expect(JSON.parse(one.payload)).toBeTypeOf("object");
          expect(Math.abs(one.priority)).toBeLessThanOrEqual(1_000);
          expect(one.runAt?.getTime() ?? 0).not.toBeNaN();
        }
      } catch (error) {
        expect(error).toBeInstanceOf(BrokerError);
      }
    }),
    { numRuns: 1_000 },
  );
});

describe("ListJobs refuses", () => {
  test.for([
    ["statuses[1]", { statuses: [1, 0] }, /must be one of the JOB_STATUS_ values.*got none/],
    ["statuses[0]", { statuses: [77 as 1] }, /got the number 77/],
    ["types[0]", { types: [""] }, /is missing/],
    ["types", { types: Array(101).fill("t") }, /at most 100 types, got 101/],
    ["tenant_id", { tenantId: fill(65) }, /64 characters/],
    ["source_domain", { sourceDomain: "\0" }, /U\+0000/],
    ["source_id", { sourceId: fill(65) }, /64 characters/],
    ["worker_id", { workerId: fill(129) }, /128 characters/],
    ["error_contains", { errorContains: fill(501) }, /500 characters/],
    ["created_after", { createdAfter: { seconds: 2n ** 60n } }, /must be within/],
    ["created_before", { createdBefore: { nanos: -5 } }, /nanos/],
    ["page_size", { pageSize: 501 }, /must be 0\.\.500, got 501/],
    ["page_size", { pageSize: -1 }, /must be 0\.\.500/],
  ] as [string, MessageInitShape<typeof ListJobsRequestSchema>, RegExp][])(
    "%s (%#)",
    async ([field, request, message]) => {
      await refused(jobs.listJobs(request), field, "BAD_FIELD", message);
    },
  );

  test.for(["garbage", "e30", "W10", "WzEsMl0", "WzAsImEiXQ", "WyIxIiwiYSJd", "%%%", fill(5_000), "😀"])(
    "the page token %s",
    async (pageToken) => {
      await refused(jobs.listJobs({ pageToken }), "page_token", "BAD_PAGE_TOKEN", /is not one that this list gave/);
    },
  );
});

describe("ids, reasons and types of the other calls", () => {
  test("CancelJobs and RetryJobs", async () => {
    const many = Array(1_001).fill("a");
    await refused(jobs.cancelJobs({}), "job_ids", "BAD_FIELD", /got 0/);
    await refused(jobs.cancelJobs({ jobIds: many }), "job_ids", "BAD_FIELD", /got 1001/);
    await refused(jobs.cancelJobs({ jobIds: ["a", ""] }), "job_ids[1]", "BAD_FIELD", /is missing/);
    await refused(
      jobs.cancelJobs({ jobIds: ["a"], reason: fill(501) }),
      "reason",
      "BAD_FIELD",
      /0\.\.500 characters, got 501/,
    );
    await refused(jobs.cancelJobs({ jobIds: ["a"], reason: "\0" }), "reason", "BAD_FIELD", /U\+0000/);
    await refused(jobs.retryJobs({}), "job_ids", "BAD_FIELD", /got 0/);
    await refused(jobs.retryJobs({ jobIds: many }), "job_ids", "BAD_FIELD", /got 1001/);
    await refused(jobs.retryJobs({ jobIds: [fill(65)] }), "job_ids[0]", "BAD_FIELD", /got 65/);
    expect(calls).toEqual([]);
  });

  test("GetJob", async () => {
    await refused(jobs.getJob({}), "job_id", "BAD_FIELD", /is missing/);
    await refused(jobs.getJob({ jobId: "\0" }), "job_id", "BAD_FIELD", /U\+0000/);
  });

  test("PauseType and ResumeType", async () => {
    await refused(admin.pauseType({}), "type", "BAD_FIELD", /is missing/);
    await refused(admin.pauseType({ type: fill(51) }), "type", "BAD_FIELD", /got 51/);
    await refused(admin.pauseType({ type: "ocr", reason: fill(501) }), "reason", "BAD_FIELD", /got 501/);
    await refused(admin.resumeType({ type: "\0" }), "type", "BAD_FIELD", /U\+0000/);
  });
});
