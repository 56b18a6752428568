/** What has too many parts to be read: it is found before it is read, whole or as it comes, in bytes and in JSON. */
import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { DispatchRequestSchema } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import {
  HeartbeatRequestSchema,
  WelcomeSchema,
  WorkRequestSchema,
} from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { type Form, isCrowded, uncrowded } from "../../src/rpc/crowded.ts";
import { envelope } from "../hostile/frames.ts";

const repeated = (pair: number[], times: number) => Buffer.from(Array.from({ length: times }, () => pair).flat());

const asBinary = <D extends DescMessage>(desc: D, message: MessageInitShape<D>) =>
  isCrowded(toBinary(desc, create(desc, message)), desc);

test("the largest messages that methods take are not crowded", () => {
  const jobs = Array.from({ length: 1_000 }, (_, n) => ({
    id: `job-${n}`,
    type: "ocr",
    payloadJson: `"${"x".repeat(300)}"`,
  }));
  expect(asBinary(DispatchRequestSchema, { jobs })).toBe(false);
  const leases = Array.from({ length: 1_000 }, (_, n) => ({ jobId: `job-${n}`, leaseToken: `token-${n}` }));
  expect(asBinary(HeartbeatRequestSchema, { workerId: "w", leases })).toBe(false);
  expect(asBinary(WelcomeSchema, { sessionId: "s", maxResultBytes: 8n << 40n, maxFramesPerSecond: 1_000 })).toBe(false);
});

test.each([
  ["empty items", [0x12, 0x00]],
  ["unknown numbers", [0x78, 0x00]],
  ["unknown texts", [0x7a, 1, 0x12]],
  ["numbers of four bytes", [0x7d, 1, 2, 3, 4]],
  ["numbers of eight bytes", [0x79, 1, 2, 3, 4, 5, 6, 7, 8]],
  ["groups in groups", [0x7b]],
])("a message of very many %s is crowded, one with as many as may be is not", (_, pair) => {
  expect(isCrowded(repeated(pair, 50_000), HeartbeatRequestSchema)).toBe(false);
  expect(isCrowded(repeated(pair, 50_001), HeartbeatRequestSchema)).toBe(true);
});

test("the fields of messages in a message count", () => {
  const frame = (many: number) => {
    const value = { items: Array.from({ length: many }, () => ({})) };
    return asBinary(WorkRequestSchema, { ackSeq: 1n, frame: { case: "reports", value } });
  };
  // Beside the two of the frame.
  expect(frame(49_998)).toBe(false);
  expect(frame(49_999)).toBe(true);
  const leases = Array.from({ length: 20_000 }, () => ({ jobId: "a", leaseToken: "b" }));
  expect(asBinary(HeartbeatRequestSchema, { leases })).toBe(true);
  expect(asBinary(HeartbeatRequestSchema, { leases: leases.slice(0, 16_666) })).toBe(false);
});

test("bytes within a text are no fields, and what cannot be read is left to the reader", () => {
  const isTooMuch = (bytes: Buffer) => isCrowded(bytes, HeartbeatRequestSchema);
  const item = repeated([0x12, 0x00], 60_000);
  const head = Buffer.from([0x0a, 0xc0, 0xa9, 0x07]);
  expect(isTooMuch(Buffer.concat([head, item]))).toBe(false);
  expect(isTooMuch(Buffer.from([0x0f, ...repeated([0x12, 0x00], 60_000)]))).toBe(false);
  expect(isTooMuch(Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f, 1]))).toBe(false);
  expect(isTooMuch(Buffer.alloc(0))).toBe(false);
});

test("values of JSON are counted at any depth, and not those in its texts", () => {
  const list = (text: string, times: number) => Buffer.from(`{"jobs":[${Array.from({ length: times }, () => text)}]}`);
  expect(isCrowded(list("{}", 49_999), "json")).toBe(false);
  expect(isCrowded(list("{}", 50_001), "json")).toBe(true);
  expect(isCrowded(Buffer.from("[".repeat(100_001)), "json")).toBe(true);
  const vector = JSON.stringify({ resultJson: JSON.stringify({ "\\": ["\\", '"', ...Array(200_000).fill(0)] }) });
  expect(isCrowded(Buffer.from(vector), "json")).toBe(false);
});

/** What passes before it is refused, in pieces of so many bytes. */
async function passed(bytes: Buffer, piece: number, form: Form, isEnveloped: boolean): Promise<number> {
  async function* pieces() {
    for (let at = 0; at < bytes.length; at += piece) yield bytes.subarray(at, at + piece);
  }
  let length = 0;
  try {
    for await (const chunk of uncrowded(pieces(), form, isEnveloped)) length += chunk.length;
  } catch (err) {
    expect(ConnectError.from(err).code).toBe(Code.ResourceExhausted);
  }
  return length;
}

test.each([5, 16_384])("bodies are counted as they pass, in pieces of %i bytes", async (piece) => {
  const items = (times: number) => repeated([0x7a, 0x01, 0x12], times);
  const many = items(50_001);
  const most = items(50_000);
  expect(await passed(most, piece, HeartbeatRequestSchema, false)).toBe(most.length);
  expect(await passed(many, piece, HeartbeatRequestSchema, false)).toBeLessThan(many.length);
  // Each message by itself, and what is packed is counted elsewhere.
  const two = Buffer.concat([envelope(most), envelope(most), envelope(many, many.length, 1), envelope(most)]);
  expect(await passed(two, piece, HeartbeatRequestSchema, true)).toBe(two.length);
  expect(
    await passed(Buffer.concat([two, envelope(many)]), piece, HeartbeatRequestSchema, true),
  ).toBeGreaterThanOrEqual(two.length);
  expect(await passed(Buffer.concat([two, envelope(many), two]), piece, HeartbeatRequestSchema, true)).toBeLessThan(
    (3 * two.length) / 2,
  );
  const text = Buffer.from(`{"a":"\\"${",".repeat(100_001)}"${',"b":{}'.repeat(50_001)}}`);
  expect(await passed(text, piece, "json", false)).toBeGreaterThan(100_000);
  expect(await passed(text, piece, "json", false)).toBeLessThan(text.length);
});
