/** The two transports give the same: answers, errors, streams. */
import { getEventListeners } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, inject } from "vitest";
import type { BrokerError } from "../../src/client/broker-error.ts";
import { Caller } from "../../src/client/caller.ts";
import type { Link, TransportName, WorkListener } from "../../src/client/link.ts";
import { openLink } from "../../src/client/open-link.ts";
import { JobService } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { WorkerService, WorkRequestSchema, type WorkResponse } from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../src/gen/google/rpc/error_details_pb.ts";
import { startTestBroker, WORKER_TOKEN } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { selfSigned } from "../support/self-signed.ts";
import { fakeBroker } from "./fake-broker.ts";
import { Mailbox } from "./mailbox.ts";

const { getJob } = JobService.method;
const { heartbeat } = WorkerService.method;
const heart = { workerId: "w", leases: [{ jobId: "j", leaseToken: "t" }] };

for (const transport of ["grpc-js", "connect"] as const)
  describe(`over ${transport}`, () => {
    const link = (url: string) => openLink({ url, token: "t", transport });
    const failure = async (call: Promise<unknown>): Promise<BrokerError> =>
      await call.then(
        () => Promise.reject(new Error("it did not fail")),
        (error: BrokerError) => error,
      );

    test("an error has its code, reason, field, wait and words", async () => {
      await using broker = await fakeBroker();
      broker.jobs.getJob = () => {
        const info = { reason: "BAD_FIELD", domain: "aibroker", metadata: { field: "job_id" } };
        throw new ConnectError("job_id: 100 % wrong, 값", Code.InvalidArgument, undefined, [
          { desc: ErrorInfoSchema, value: info },
          { desc: BadRequestSchema, value: {} },
          { desc: RetryInfoSchema, value: { retryDelay: durationFromMs(1_500) } },
        ]);
      };
      const at = await link(broker.url);
      const error = await failure(at.call(getJob, { jobId: "" }, { timeoutMs: 5_000 }));
      expect(error).toMatchObject({
        name: "BrokerError",
        code: "INVALID_ARGUMENT",
        reason: "BAD_FIELD",
        field: "job_id",
        retryAfterMs: 1_500,
        message: "job_id: 100 % wrong, 값",
      });
      at.close();
    });

    test("a broker that is not there is UNAVAILABLE, with no reason", async () => {
      const broker = await fakeBroker();
      await broker.stop();
      const at = await link(broker.url);
      const error = await failure(at.call(heartbeat, heart, { timeoutMs: 5_000 }));
      expect(error).toMatchObject({ code: "UNAVAILABLE", reason: undefined });
      at.close();
    });

    test("a call without an answer ends at its deadline, or with its signal", async () => {
      await using broker = await fakeBroker();
      const at = await link(broker.url);
      const claim = (signal?: AbortSignal, timeoutMs = 5_000) =>
        at.call(WorkerService.method.claim, { workerId: "w" }, { timeoutMs, signal });
      expect(await failure(claim(undefined, 50))).toMatchObject({ code: "DEADLINE_EXCEEDED" });
      const stop = new AbortController();
      const call = claim(stop.signal);
      stop.abort();
      expect(await failure(call)).toMatchObject({ code: "CANCELLED" });
      expect(await failure(claim(stop.signal))).toMatchObject({ code: "CANCELLED" });
      at.close();
    });

    test("a signal that lives on keeps nothing of the calls made with it", async () => {
      await using broker = await fakeBroker();
      const at = await link(broker.url);
      const stop = new AbortController();
      for (let count = 0; count < 20; count += 1) {
        await at.call(heartbeat, heart, { timeoutMs: 5_000, signal: stop.signal });
      }
      expect(getEventListeners(stop.signal, "abort").length).toBeLessThanOrEqual(1);
      at.close();
    });

    test("an answer of 20 MiB arrives", async () => {
      await using broker = await fakeBroker();
      const payloadJson = JSON.stringify({ text: "x".repeat(20 * 1024 * 1024) });
      broker.jobs.getJob = () => ({ job: { job: { payloadJson } } });
      const at = await link(broker.url);
      const { job } = await at.call(getJob, { jobId: "j" }, { timeoutMs: 10_000 });
      expect(job?.job?.payloadJson.length).toBe(payloadJson.length);
      at.close();
    });

    test("closing it ends what is under way", async () => {
      await using broker = await fakeBroker();
      const at = await link(broker.url);
      const stream = openStream(at);
      void stream.say("hello");
      const fake = await broker.streams.take();
      const call = failure(at.call(WorkerService.method.claim, { workerId: "w" }, { timeoutMs: 60_000 }));
      at.close();
      expect(["CANCELLED", "UNAVAILABLE", "ABORTED", "INTERNAL"]).toContain((await call).code);
      await fake.over;
    });

    test("a stream brings messages both ways, and OK at its end", async () => {
      await using broker = await fakeBroker();
      const at = await link(broker.url);
      const stream = openStream(at);
      await stream.say("hello");
      const fake = await broker.streams.take();
      fake.say({ case: "ping", value: { id: 7n } });
      expect((await stream.messages.take()).frame).toMatchObject({ case: "ping", value: { id: 7n } });
      await stream.say("pong");
      await fake.next("pong");
      fake.end();
      expect(await stream.ended.take()).toBeUndefined();
      at.close();
    });

    test("a stream that the broker ends with an error has its details", async () => {
      await using broker = await fakeBroker();
      const at = await link(broker.url);
      const stream = openStream(at);
      void stream.say("hello");
      const fake = await broker.streams.take();
      fake.welcome();
      await stream.messages.take();
      const details = [{ desc: ErrorInfoSchema, value: { reason: "SESSION_SUPERSEDED", domain: "aibroker" } }];
      fake.end(new ConnectError("a newer stream", Code.Aborted, undefined, details));
      expect(await stream.ended.take()).toMatchObject({ code: "ABORTED", reason: "SESSION_SUPERSEDED" });
      at.close();
    });

    test("a stream to a broker that is not there, and one that is cut off, end with an error; a cancelled one in silence", async () => {
      const broker = await fakeBroker();
      const at = await link(broker.url);
      const cut = openStream(at);
      void cut.say("hello");
      await broker.streams.take();
      const cancelled = openStream(at);
      void cancelled.say("hello");
      const fake = await broker.streams.take();
      cancelled.stream.cancel();
      await fake.over;
      await broker.stop();
      expect(await cut.ended.take()).toMatchObject({ name: "BrokerError", reason: undefined });
      const away = openStream(await link(broker.url));
      void away.say("hello");
      expect(await away.ended.take()).toMatchObject({ code: "UNAVAILABLE" });
      expect(cancelled.ended.waiting).toEqual([]);
      at.close();
    });

    test("it speaks TLS, and trusts the certificate that it is given alone", async ({ url }) => {
      const runFolder = inject("runFolder");
      const { cert, key } = selfSigned();
      const files = {
        TLS_CERT_FILE: join(runFolder, `${transport}.crt`),
        TLS_KEY_FILE: join(runFolder, `${transport}.key`),
      };
      await writeFile(files.TLS_CERT_FILE, cert);
      await writeFile(files.TLS_KEY_FILE, key);
      await using broker = await startTestBroker(url, files);
      const at = { url: broker.url, token: WORKER_TOKEN, transport };
      const trusting = await openLink({ ...at, ca: cert });
      const { leases } = await trusting.call(heartbeat, heart, { timeoutMs: 5_000 });
      expect(leases).toHaveLength(1);
      const wary = await openLink(at);
      expect(await failure(wary.call(heartbeat, heart, { timeoutMs: 5_000 }))).toMatchObject({ name: "BrokerError" });
      trusting.close();
      wary.close();
    });
  });

/** A stream whose messages and end a test can wait for. */
function openStream(link: Link) {
  const messages = new Mailbox<WorkResponse>();
  const ended = new Mailbox<BrokerError | undefined>();
  const listener: WorkListener = { onMessage: (one) => messages.put(one), onEnd: (error) => ended.put(error) };
  const stream = link.openWork(listener);
  return {
    messages,
    ended,
    stream,
    /** Resolves when it is flushed. */
    say: (kind: "hello" | "pong") =>
      new Promise<void>((resolve) => {
        const frame = kind === "hello" ? { case: kind, value: { workerId: "w" } } : { case: kind, value: { id: 1n } };
        stream.send(create(WorkRequestSchema, { frame } as never), resolve);
      }),
  };
}

describe("a caller", () => {
  test.for<TransportName>(["grpc-js", "connect"])(
    "goes to the next address when one is away, over %s",
    async (transport) => {
      const away = await fakeBroker();
      await away.stop();
      await using broker = await fakeBroker();
      const caller = new Caller({ url: [away.url, broker.url], token: "t", transport });
      for (let count = 0; count < 3; count += 1) {
        expect((await caller.call(heartbeat, heart, { timeoutMs: 5_000 })).leases).toHaveLength(1);
      }
      caller.close();
    },
  );

  test("leaves an address without cutting off what is under way there", async () => {
    await using broker = await fakeBroker();
    const answer = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    broker.worker.claim = async () => {
      asked.resolve();
      await answer.promise;
      return { jobs: [{ leaseToken: "late" }] };
    };
    broker.worker.heartbeat = () => {
      throw new ConnectError("busy", Code.Unavailable);
    };
    const caller = new Caller({ url: broker.url, token: "t", transport: "grpc-js" });
    const claim = caller.once(WorkerService.method.claim, { workerId: "w" }, { timeoutMs: 10_000 });
    await asked.promise;
    await expect(caller.once(heartbeat, heart, { timeoutMs: 5_000 })).rejects.toMatchObject({ code: "UNAVAILABLE" });
    answer.resolve();
    expect((await claim).jobs[0]?.leaseToken).toBe("late");
    caller.close();
  });
});
