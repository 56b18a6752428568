import { create, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { DispatchRequestSchema } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { HeartbeatRequestSchema, WelcomeSchema } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { isCrowded } from "../../src/rpc/grpc-message.ts";

const repeated = (pair: number[], times: number) => Buffer.from(Array.from({ length: times }, () => pair).flat());

test("the largest messages that methods take are not crowded", () => {
  const jobs = Array.from({ length: 1_000 }, (_, n) => ({
    id: `job-${n}`,
    type: "ocr",
    payloadJson: `"${"x".repeat(300)}"`,
  }));
  expect(isCrowded(toBinary(DispatchRequestSchema, create(DispatchRequestSchema, { jobs })))).toBe(false);
  const leases = Array.from({ length: 1_000 }, (_, n) => ({ jobId: `job-${n}`, leaseToken: `token-${n}` }));
  expect(isCrowded(toBinary(HeartbeatRequestSchema, create(HeartbeatRequestSchema, { workerId: "w", leases })))).toBe(
    false,
  );
  const welcome = create(WelcomeSchema, { sessionId: "s", maxResultBytes: 8n << 40n, maxFramesPerSecond: 1_000 });
  expect(isCrowded(toBinary(WelcomeSchema, welcome))).toBe(false);
});

test.each([
  ["empty items", [0x12, 0x00]],
  ["unknown numbers", [0x78, 0x00]],
  ["numbers of four bytes", [0x7d, 1, 2, 3, 4]],
  ["numbers of eight bytes", [0x79, 1, 2, 3, 4, 5, 6, 7, 8]],
  ["groups in groups", [0x7b]],
])("a message of very many %s is crowded, one with as many as may be is not", (_, pair) => {
  expect(isCrowded(repeated(pair, 50_000))).toBe(false);
  expect(isCrowded(repeated(pair, 50_001))).toBe(true);
});

test("bytes within an item are no fields, and what cannot be read is left to the reader", () => {
  const item = repeated([0x12, 0x00], 60_000);
  const head = Buffer.from([0x0a, 0xc0, 0xa9, 0x07]);
  expect(isCrowded(Buffer.concat([head, item]))).toBe(false);
  expect(isCrowded(Buffer.from([0x0f, ...repeated([0x12, 0x00], 60_000)]))).toBe(false);
  expect(isCrowded(Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f, 1]))).toBe(false);
  expect(isCrowded(Buffer.alloc(0))).toBe(false);
});
