/**
 * Many streaming workers without the SDK in one process, some dozens on a connection. Each takes one job at a time, acks
 * it, works on it, reports until it is answered, and comes back after every end of its stream with what it has.
 */
import { randomUUID } from "node:crypto";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import * as grpc from "@grpc/grpc-js";
import { backoffMs } from "../../../src/client/backoff.ts";
import type { ClaimedJob } from "../../../src/gen/aibroker/v1/job_pb.ts";
import {
  LeaseVerdict,
  type ReportAck,
  type Welcome,
  type WorkRequest,
  WorkRequestSchema,
  type WorkResponse,
  WorkResponseSchema,
} from "../../../src/gen/aibroker/v1/worker_service_pb.ts";
import { Dice } from "../dice.ts";
import { pass } from "../pace.ts";
import { type Report, workOn } from "./held-jobs.ts";
import { answerParent, settingsOf, TYPE, type WorkerSettings } from "./settings.ts";

export interface CrowdSettings extends WorkerSettings {
  workers: number;
  /** Streams that share a connection. */
  perConnection: number;
}

const { name, token, urls, seats, leaseMs, seed, workers, perConnection } = settingsOf<CrowdSettings>();
const PATH = "/aibroker.v1.WorkerService/Work";
/** A broker that is back is to be found by all within this time. */
const LONGEST_WAIT_FAILURES = 5;
/** A connection of its own for each client, and tries at a pace of our own. */
const CHANNEL = {
  "grpc.use_local_subchannel_pool": 1,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 500,
};
const metadata = new grpc.Metadata();
metadata.set("x-worker-token", token);

type Stream = grpc.ClientDuplexStream<WorkRequest, WorkResponse>;
type Frame = NonNullable<MessageInitShape<typeof WorkRequestSchema>["frame"]>;

class Member {
  readonly #workerId: string;
  readonly #dice: Dice;
  /** To each broker. */
  readonly #clients: grpc.Client[];
  readonly #instanceId = randomUUID();
  /** By lease token, with the report of what is done. */
  readonly #held = new Map<string, { claimed: ClaimedJob; report?: Report }>();
  /** The lease that each report was about. */
  readonly #asked = new Map<bigint, string>();
  #stream: Stream | undefined;
  #seq = 0n;
  #frames = 0n;
  isWelcome = false;

  constructor(workerId: string, clients: grpc.Client[]) {
    this.#workerId = workerId;
    this.#clients = clients;
    this.#dice = new Dice(seed, workerId);
  }

  async run(): Promise<never> {
    for (let failures = 0; ; ) {
      const wasWelcome = await this.#once();
      failures = wasWelcome ? 1 : Math.min(failures + 1, LONGEST_WAIT_FAILURES);
      await pass(backoffMs(failures, this.#dice.next()));
    }
  }

  beat(): void {
    const leases = this.#leases();
    if (this.isWelcome && leases.length > 0) this.#send({ case: "heartbeat", value: { id: ++this.#frames, leases } });
  }

  /** One stream, from its Hello to its end; answers whether the broker took it. */
  async #once(): Promise<boolean> {
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    const stream: Stream = this.#dice.pick(this.#clients).makeBidiStreamRequest<WorkRequest, WorkResponse>(
      PATH,
      (value) => Buffer.from(toBinary(WorkRequestSchema, value)),
      (bytes) => fromBinary(WorkResponseSchema, bytes),
      metadata,
    );
    this.#stream = stream;
    this.#seq = 0n;
    this.#asked.clear();
    let wasWelcome = false;
    stream.on("data", (message: WorkResponse) => {
      wasWelcome ||= message.frame.case === "welcome";
      this.#take(message);
    });
    // Every end but OK comes as an error, too.
    stream.on("error", () => undefined);
    stream.once("status", () => end());
    const who = { workerId: this.#workerId, instanceId: this.#instanceId, types: [TYPE], maxInFlight: seats };
    this.#send({ case: "hello", value: { ...who, held: this.#leases() } });
    await ended;
    this.isWelcome = false;
    this.#stream = undefined;
    return wasWelcome;
  }

  #take({ seq, frame }: WorkResponse): void {
    this.#seq = seq;
    if (frame.case === "welcome") this.#welcomed(frame.value);
    else if (frame.case === "ping") this.#send({ case: "pong", value: { id: frame.value.id } });
    else if (frame.case === "reportAck") this.#answered(frame.value);
    else if (frame.case === "drain") {
      const stream = this.#stream;
      const { reconnectAfter } = frame.value;
      void pass(reconnectAfter === undefined ? 0 : durationMs(reconnectAfter)).then(() => stream?.cancel());
    } else if (frame.case === "jobs") {
      for (const claimed of frame.value.jobs) this.#held.set(claimed.leaseToken, { claimed });
      this.#send(undefined);
      for (const claimed of frame.value.jobs) void this.#work(claimed);
    }
  }

  #welcomed({ held }: Welcome): void {
    this.isWelcome = true;
    // In the order in which the Hello named them.
    for (const [at, token] of [...this.#held.keys()].entries()) {
      if (held[at]?.verdict === LeaseVerdict.LOST) this.#held.delete(token);
      else this.#report(token);
    }
  }

  async #work(claimed: ClaimedJob): Promise<void> {
    const report = await workOn(claimed, this.#workerId);
    const one = this.#held.get(claimed.leaseToken);
    if (one === undefined) return;
    one.report = report;
    this.#report(claimed.leaseToken);
  }

  #report(leaseToken: string): void {
    const report = this.#held.get(leaseToken)?.report;
    if (report === undefined || !this.isWelcome) return;
    const id = ++this.#frames;
    this.#asked.set(id, leaseToken);
    this.#send({ case: "reports", value: { id, items: [report] } });
  }

  #answered({ id, retryAfter }: ReportAck): void {
    const leaseToken = this.#asked.get(id) ?? "";
    this.#asked.delete(id);
    if (retryAfter === undefined) this.#held.delete(leaseToken);
    else void pass(durationMs(retryAfter)).then(() => this.#report(leaseToken));
  }

  #leases() {
    return Array.from(this.#held.values(), ({ claimed: { job, leaseToken } }) => ({
      jobId: job?.id ?? "",
      leaseToken,
    }));
  }

  #send(frame: Frame | undefined): void {
    this.#stream?.write(create(WorkRequestSchema, { ackSeq: this.#seq, ...(frame === undefined ? {} : { frame }) }));
  }
}

const lines = Array.from({ length: Math.ceil(workers / perConnection) }, () =>
  urls.map((url) => new grpc.Client(new URL(url).host, grpc.credentials.createInsecure(), CHANNEL)),
);
const members = Array.from({ length: workers }, (_, at) => {
  return new Member(`${name}-${at + 1}`, lines[Math.floor(at / perConnection)] as grpc.Client[]);
});

async function beat(): Promise<never> {
  for (;;) {
    await pass(leaseMs / 3);
    for (const member of members) member.beat();
  }
}

answerParent({
  /** How many have no stream that a broker took. */
  away: () => members.filter(({ isWelcome }) => !isWelcome).length,
});
await Promise.all([beat(), ...members.map((member) => member.run())]);
