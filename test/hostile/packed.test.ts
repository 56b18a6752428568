/** Few bytes that become many, and messages of millions of parts, in every way that a protocol has for them. */
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import type { DescMethod } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { expect } from "vitest";
import { JobService } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { WorkerService } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { type Answer, type Call, openCaller, PROTOCOLS } from "./fuzz-calls.ts";
import { API_TOKEN, type HostileBroker, WORKER_TOKEN } from "./hostile-broker.ts";
import { sized } from "./size.ts";
import { test } from "./under-attack.ts";

const MIB = 1024 * 1024;
const UNPACKED_MIB = sized(100, 1_000);
/** The same, at the same time. */
const ABREAST = sized(1, 4);
const TIMEOUT_MS = 60_000;

/** Unpacking keeps four threads at work, on as many cores as there are. */
const AT_WORK = { instead: { p99Ms: 2_000, why: "unpacking and the broker share the cores" } };
const TOO_LARGE: Partial<Answer> = { code: Code.ResourceExhausted, reason: "REQUEST_TOO_LARGE", unreadable: undefined };

type Packing = NonNullable<Call["packing"]>;
const QUICKLY = { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } };
const pack = (bytes: Buffer, how: Packing) => (how === "gzip" ? gzipSync(bytes) : brotliCompressSync(bytes, QUICKLY));

/** The answers to the same call, sent so many times at once. */
async function answers({ url }: HostileBroker, call: Call): Promise<Answer[]> {
  const caller = openCaller(url);
  const all = Array.from({ length: ABREAST }, () => caller.send({ ...call, timeoutMs: TIMEOUT_MS }));
  return await Promise.all(all).finally(caller.close);
}

for (const packing of ["gzip", "br"] as const) {
  test(`bombs packed with ${packing} are too large, whatever protocol brings them`, async ({ withstands }) => {
    // Blanks, which JSON may begin with, so that it is not the text that is at fault.
    const bomb = pack(Buffer.alloc(UNPACKED_MIB * MIB, " "), packing);
    const calls = PROTOCOLS.flatMap((protocol): Call[] => [
      { method: WorkerService.method.heartbeat, protocol, messages: [bomb], token: WORKER_TOKEN, packing },
      { method: JobService.method.dispatch, protocol, messages: [bomb], token: API_TOKEN, packing },
    ]);
    const size = `${ABREAST * calls.length} messages of ${bomb.length} bytes that become ${UNPACKED_MIB} MiB`;
    await withstands(
      size,
      async (broker) => {
        for (const call of calls) {
          const shown = `${call.protocol} ${call.method.name}`;
          for (const answer of await answers(broker, call)) expect(answer, shown).toMatchObject(TOO_LARGE);
        }
        return undefined;
      },
      AT_WORK,
    );
  });
}

/** Millions of items, each of nothing: 30 MiB of them became 1.5 GB. Four fit into what an HTTP/2 connection may hold. */
const ITEMS = {
  binary: Buffer.alloc(20 * MIB, Buffer.from([0x12, 0])),
  json: Buffer.from(`{"items":[{}${",{}".repeat(7 * MIB)}]}`),
};
/** The same in a frame of a stream, as its reports: field 5, and the length. */
const FRAME = Buffer.concat([Buffer.from([0x2a, 0x80, 0x80, 0x80, 0x0a]), ITEMS.binary]);

for (const packing of [undefined, "gzip"] as const) {
  const how = packing === undefined ? "as they are" : `packed with ${packing}`;
  test(`messages of nothing but empty items are refused, ${how}, in each protocol`, async ({ withstands }) => {
    const call = (method: DescMethod, protocol: Call["protocol"], message: Buffer): Call => {
      const sent = packing === undefined ? { messages: [message] } : { messages: [pack(message, packing)], packing };
      return { method, protocol, token: WORKER_TOKEN, ...sent };
    };
    const calls = [
      ...PROTOCOLS.map((protocol) =>
        call(WorkerService.method.report, protocol, protocol === "connect-json" ? ITEMS.json : ITEMS.binary),
      ),
      call(WorkerService.method.work, "grpc", FRAME),
    ];
    await withstands(
      `${ABREAST * calls.length} messages of 20 MiB`,
      async (broker) => {
        for (const one of calls) {
          const shown = `${one.protocol} ${one.method.name}`;
          for (const answer of await answers(broker, one)) expect(answer, shown).toMatchObject(TOO_LARGE);
        }
        return undefined;
      },
      AT_WORK,
    );
  });
}
