/** A broker that does what a test tells it to, right or wrong: faults that no real broker has. */
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { ConnectError, HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import type { ClaimedJobSchema } from "../../src/gen/aibroker/v1/job_pb.ts";
import { JobService } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import {
  type Hello,
  LeaseVerdict,
  ReportStatus,
  type WelcomeSchema,
  WorkerService,
  type WorkRequest,
  type WorkResponseSchema,
} from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { Mailbox } from "./mailbox.ts";

type Unary = Omit<ServiceImpl<typeof WorkerService>, "work">;
type Frame = MessageInitShape<typeof WorkResponseSchema>["frame"];
type Sent = WorkRequest["frame"];
export type ClaimedInit = MessageInitShape<typeof ClaimedJobSchema>;

export interface FakeBroker extends AsyncDisposable {
  url: string;
  /** Streams in the order in which they came, each after its Hello. */
  streams: Mailbox<FakeStream>;
  /** What unary calls do; a test replaces what it is about. */
  worker: Unary;
  jobs: Partial<ServiceImpl<typeof JobService>>;
  /** Each heartbeat's leases. */
  heartbeats: Mailbox<string[]>;
  /** How many streams were opened, with or without a Hello. */
  readonly opened: number;
  /** Instead of a stream. */
  refuseWork: (() => ConnectError) | undefined;
  /** Ends each stream before its first message. */
  breakWork: boolean;
  /** Closes the port and every connection. */
  stop(): Promise<void>;
}

/** Starts it on a free port, or on the one given. */
export async function fakeBroker(port = 0): Promise<FakeBroker> {
  const streams = new Mailbox<FakeStream>();
  const heartbeats = new Mailbox<string[]>();
  const worker = defaultCalls(heartbeats);
  const jobs: Partial<ServiceImpl<typeof JobService>> = {};
  let opened = 0;
  const server = http2.createServer(
    connectNodeAdapter({
      routes: (router) => {
        router.service(WorkerService, {
          claim: (request, context) => worker.claim(request, context),
          heartbeat: (request, context) => worker.heartbeat(request, context),
          report: (request, context) => worker.report(request, context),
          release: (request, context) => worker.release(request, context),
          work: async function* (requests, context) {
            opened += 1;
            if (broker.refuseWork !== undefined) throw broker.refuseWork();
            if (broker.breakWork) return;
            const stream = new FakeStream(requests, context);
            void stream.read(() => streams.put(stream));
            yield* stream.sent;
          },
        });
        router.service(JobService, {
          dispatch: (request, context) => call(jobs.dispatch)(request, context),
          getJob: (request, context) => call(jobs.getJob)(request, context),
          cancelJobs: (request, context) => call(jobs.cancelJobs)(request, context),
          retryJobs: (request, context) => call(jobs.retryJobs)(request, context),
          watchJobs: (request, context) => call(jobs.watchJobs)(request, context),
        });
      },
    }),
  );
  const sessions = new Set<http2.ServerHttp2Session>();
  let stopped = false;
  server.on("session", (session) => {
    if (stopped) session.destroy();
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const stop = async () => {
    stopped = true;
    for (const session of sessions) session.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  const broker: FakeBroker = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    streams,
    heartbeats,
    worker,
    jobs,
    get opened() {
      return opened;
    },
    refuseWork: undefined,
    breakWork: false,
    stop,
    [Symbol.asyncDispose]: stop,
  };
  return broker;
}

function call<F>(implementation: F | undefined): F {
  if (implementation === undefined) throw new Error("the test has not said what this call does");
  return implementation;
}

function defaultCalls(heartbeats: Mailbox<string[]>): Unary {
  return {
    claim: (_, { signal }) =>
      new Promise((resolve) => signal.addEventListener("abort", () => resolve({}), { once: true })),
    heartbeat: ({ leases }) => {
      heartbeats.put(leases.map(({ leaseToken }) => leaseToken));
      return { leases: leases.map(({ jobId }) => ({ jobId, verdict: LeaseVerdict.CONTINUE })) };
    },
    report: ({ items }) => ({ results: accepted(items) }),
    release: ({ leases }) => ({ results: leases.map(({ jobId }) => ({ jobId, released: true })) }),
  };
}

/** A broker's answer to reports when all is well. */
export function accepted(items: readonly { result?: { jobId: string } | undefined }[]) {
  return items.map(({ result }) => ({ jobId: result?.jobId ?? "", status: ReportStatus.ACCEPTED, message: "stored" }));
}

/** A job of type ocr, under the lease `lease-<id>`. */
export function claimed(
  id: string,
  payload: object = {},
  more: { type?: string; leaseTtlMs?: number } = {},
): ClaimedInit {
  const { type = "ocr", leaseTtlMs = 60_000 } = more;
  return {
    job: { id, type, payloadJson: JSON.stringify(payload), maxAttempts: 5 },
    leaseToken: `lease-${id}`,
    attempt: 1,
    leaseTtl: durationFromMs(leaseTtlMs),
  };
}

/** One Work stream, seen from the broker. */
export class FakeStream {
  /** What the worker said and the test has not taken. */
  readonly received = new Mailbox<WorkRequest>();
  readonly sent = new Mailbox<MessageInitShape<typeof WorkResponseSchema>>();
  hello: Hello | undefined;
  /** Ends the stream at the worker's Drain; what is left comes by unary calls. */
  hangsUp = true;
  /** Resolves when the worker's side is over, in whatever way. */
  readonly over: Promise<void>;
  #over: () => void;
  readonly #requests: AsyncIterable<WorkRequest>;
  #seq = 0n;

  constructor(requests: AsyncIterable<WorkRequest>, { signal }: HandlerContext) {
    this.#requests = requests;
    ({ promise: this.over, resolve: this.#over } = Promise.withResolvers<void>());
    signal.addEventListener("abort", () => {
      this.#over();
      this.sent.end();
    });
  }

  async read(onHello: () => void): Promise<void> {
    try {
      for await (const message of this.#requests) {
        if (message.frame.case === "hello") {
          this.hello = message.frame.value;
          onHello();
        } else {
          this.received.put(message);
          if (message.frame.case === "drain" && this.hangsUp) this.end();
        }
      }
    } catch {
      // The client broke off, which `over` tells.
    }
    this.#over();
    this.sent.end();
  }

  say(frame: Frame): void {
    this.sent.put({ seq: this.#seq, frame });
  }

  welcome(more: MessageInitShape<typeof WelcomeSchema> = {}): void {
    const held = (this.hello?.held ?? []).map(({ jobId }) => ({ jobId, verdict: LeaseVerdict.CONTINUE }));
    this.say({
      case: "welcome",
      value: {
        sessionId: "session",
        brokerId: "fake",
        leaseTtl: durationFromMs(60_000),
        heartbeatInterval: durationFromMs(20_000),
        pingInterval: durationFromMs(20_000),
        silenceTimeout: durationFromMs(60_000),
        maxResultBytes: 8n * 1024n * 1024n,
        maxRequestBytes: 16n * 1024n * 1024n,
        maxFramesPerSecond: 1_000,
        held,
        ...more,
      },
    });
  }

  /** Pushes jobs as one frame. */
  push(...jobs: ClaimedInit[]): void {
    this.#seq += 1n;
    this.say({ case: "jobs", value: { jobs } });
  }

  /** The next message of this kind; "ack": a bare one. Others before it are let go. */
  async next<C extends NonNullable<Sent["case"]> | "ack">(
    kind: C,
  ): Promise<C extends "ack" ? WorkRequest : (Sent & { case: C })["value"]> {
    for (;;) {
      const message = await this.received.take(`the worker's ${kind}`);
      if (kind === "ack" && message.frame.case === undefined) return message as never;
      if (message.frame.case === kind) return message.frame.value as never;
    }
  }

  /** Takes the next reports and answers that all is well. */
  async takeReports() {
    const reports = await this.next("reports");
    this.say({ case: "reportAck", value: { id: reports.id, results: accepted(reports.items) } });
    return reports.items;
  }

  /** Ends the stream with OK, or with an error. */
  end(error?: Error): void {
    this.sent.end(error);
  }
}
