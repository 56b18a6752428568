/**
 * A Work stream by @grpc/grpc-js with no SDK: it sends what it is told and keeps what it gets, so that a test decides
 * about each message. The connection runs through a relay of its own, which can be cut or fall silent.
 */
import { randomUUID } from "node:crypto";
import net from "node:net";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { findTrailerError } from "@connectrpc/connect/protocol-grpc";
import * as grpc from "@grpc/grpc-js";
import { AIResultStatus, type ClaimedJob } from "../../src/gen/aibroker/v1/job_pb.ts";
import {
  type HelloSchema,
  type ReportAck,
  type Welcome,
  type WorkRequest,
  WorkRequestSchema,
  type WorkResponse,
  WorkResponseSchema,
} from "../../src/gen/aibroker/v1/worker_service_pb.ts";
import { WORKER_TOKEN } from "./broker.ts";
import { type ReadError, readError } from "./rpc-clients.ts";

type RequestFrame = NonNullable<MessageInitShape<typeof WorkRequestSchema>["frame"]>;
type RequestKind = NonNullable<WorkRequest["frame"]["case"]>;
type ResponseFrame = WorkResponse["frame"];

/** A frame by its name, for example `{ capacity: { maxInFlight: 1 } }`; with none it is a bare ack. */
export type Sent = { ackSeq?: bigint } & {
  [K in RequestKind]?: Extract<RequestFrame, { case: K }>["value"];
};
export type Kind = NonNullable<ResponseFrame["case"]>;
export type Received<K extends Kind> = Extract<ResponseFrame, { case: K }>["value"];

export interface RawWorkOptions {
  token?: string;
  /** Acks each Jobs frame as it comes, and puts the newest seq on all that is sent; default true. */
  acks?: boolean;
  /** Answers each Ping; default true. */
  pongs?: boolean;
}

/** How the stream ended. Code 0 is OK, and stands alone. */
export type Ended = Pick<ReadError, "code"> & Partial<ReadError>;

export interface RawWork extends AsyncDisposable {
  /** Every message so far, in order; also those that next() has taken. */
  received: readonly WorkResponse[];
  /** The newest seq. */
  seq(): bigint;
  send(frame: Sent): void;
  /** Sends a Hello, with names of its own making where none are given, and waits for the Welcome. */
  hello(hello?: MessageInitShape<typeof HelloSchema>): Promise<Welcome>;
  /** The first message of this kind that was not taken yet, now or within the deadline. Throws when the stream ends. */
  next<K extends Kind>(kind: K, deadlineMs?: number): Promise<Received<K>>;
  /** Reports them all DONE and waits for the answer. */
  report(jobs: readonly ClaimedJob[], result?: object): Promise<ReportAck>;
  /** Stops reading, so that the broker's messages pile up in HTTP/2's windows and then in the broker. */
  pause(): void;
  resume(): void;
  /** Ends this side of the stream and leaves the other open; nothing that is sent after it goes out. */
  end(): void;
  /** Ends the call: RST_STREAM on a connection that stays. */
  cancel(): void;
  /** Destroys the connection. */
  destroy(): void;
  /** Carries no byte any more, either way, and closes nothing: the cable is out. */
  silence(): void;
  /** Resolves when the stream has ended, whoever ended it. */
  ended: Promise<Ended>;
}

/** Opens the stream; nothing is sent before the first send() or hello(). */
export async function openWork(brokerUrl: string, options: RawWorkOptions = {}): Promise<RawWork> {
  const { token = WORKER_TOKEN, acks = true, pongs = true } = options;
  const relay = await startRelay(brokerUrl);
  const client = new grpc.Client(new URL(relay.url).host, grpc.credentials.createInsecure(), {
    // Else streams to one address share a connection, and destroying one would end all.
    "grpc.use_local_subchannel_pool": 1,
  });
  const call = openCall(client, token);
  const inbox = createInbox();
  let reports = 0n;
  let closed = false;

  call.on("data", (message: WorkResponse) => {
    inbox.put(message);
    if (acks && message.frame.case === "jobs") send({});
    if (pongs && message.frame.case === "ping") send({ pong: { id: message.frame.value.id } });
  });
  const ended = endOf(call);
  void ended.then(inbox.close);

  function send({ ackSeq, ...frames }: Sent): void {
    // grpc-js would destroy the call, and with it what is still to be read.
    if (closed) return;
    const [named] = Object.entries(frames);
    const frame = named === undefined ? undefined : ({ case: named[0], value: named[1] } as RequestFrame);
    call.write(create(WorkRequestSchema, { ackSeq: ackSeq ?? (acks ? inbox.seq() : 0n), frame }));
  }

  async function close(): Promise<void> {
    call.cancel();
    client.close();
    await relay.close();
  }

  return {
    received: inbox.all,
    seq: inbox.seq,
    send,
    hello(hello) {
      send({ hello: { workerId: "raw-1", instanceId: randomUUID(), ...hello } });
      return inbox.next("welcome");
    },
    next: inbox.next,
    async report(jobs, result = {}) {
      const id = ++reports;
      send({ reports: { id, items: jobs.map((job) => doneItem(job, result)) } });
      for (;;) {
        const ack = await inbox.next("reportAck");
        if (ack.id === id) return ack;
      }
    },
    pause: () => void call.pause(),
    resume: () => void call.resume(),
    end() {
      closed = true;
      call.end();
    },
    cancel: () => call.cancel(),
    destroy: relay.destroy,
    silence: relay.silence,
    ended,
    [Symbol.asyncDispose]: close,
  };
}

/** The item that reports a job DONE. */
export function doneItem({ job, leaseToken }: ClaimedJob, result: object = {}) {
  const status = AIResultStatus.AI_RESULT_STATUS_DONE;
  return { leaseToken, result: { jobId: job?.id ?? "", status, resultJson: JSON.stringify(result) } };
}

type Call = grpc.ClientDuplexStream<WorkRequest, WorkResponse>;

function openCall(client: grpc.Client, token: string): Call {
  const metadata = new grpc.Metadata();
  if (token !== "") metadata.set("x-worker-token", token);
  return client.makeBidiStreamRequest<WorkRequest, WorkResponse>(
    "/aibroker.v1.WorkerService/Work",
    (value) => Buffer.from(toBinary(WorkRequestSchema, value)),
    (bytes) => fromBinary(WorkResponseSchema, bytes),
    metadata,
  );
}

function endOf(call: Call): Promise<Ended> {
  return new Promise((resolve) => {
    // Every end but OK comes as an error, too; without a listener it would be thrown.
    call.on("error", () => undefined);
    call.once("status", (status: grpc.StatusObject) => {
      resolve(status.code === grpc.status.OK ? { code: 0 } : readError(errorOf(status)));
    });
  });
}

function errorOf({ code, details, metadata }: grpc.StatusObject): unknown {
  const headers = new Headers({ "grpc-status": String(code), "grpc-message": encodeURIComponent(details) });
  const [bin] = metadata.get("grpc-status-details-bin");
  if (bin !== undefined) headers.set("grpc-status-details-bin", Buffer.from(bin).toString("base64"));
  return findTrailerError(headers);
}

interface Inbox {
  all: WorkResponse[];
  seq(): bigint;
  put(message: WorkResponse): void;
  next<K extends Kind>(kind: K, deadlineMs?: number): Promise<Received<K>>;
  close(end: Ended): void;
}

function createInbox(): Inbox {
  const all: WorkResponse[] = [];
  const waiting: WorkResponse[] = [];
  const changed = new Set<() => void>();
  let ended: Ended | undefined;
  let newest = 0n;
  const tell = () => {
    for (const one of [...changed]) one();
  };

  function take<K extends Kind>(kind: K): Received<K> | undefined {
    const index = waiting.findIndex(({ frame }) => frame.case === kind);
    return waiting.splice(index < 0 ? waiting.length : index, 1)[0]?.frame.value as Received<K> | undefined;
  }

  return {
    all,
    seq: () => newest,
    put(message) {
      all.push(message);
      waiting.push(message);
      newest = message.seq;
      tell();
    },
    close(end) {
      ended = end;
      tell();
    },
    async next(kind, deadlineMs = 10_000) {
      const until = performance.now() + deadlineMs;
      for (;;) {
        const found = take(kind);
        if (found !== undefined) return found;
        const others = `received: ${all.map(({ frame }) => frame.case).join(", ") || "nothing"}`;
        if (ended !== undefined)
          throw new Error(`no ${kind}, the stream has ended: ${JSON.stringify(ended)}; ${others}`);
        const left = until - performance.now();
        if (left <= 0) throw new Error(`no ${kind} within ${deadlineMs} ms; ${others}`);
        await oneOf(changed, left);
      }
    },
  };
}

/** Until one of the listeners is called, or the time is over. */
function oneOf(listeners: Set<() => void>, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      clearTimeout(timer);
      listeners.delete(go);
      resolve();
    };
    const timer = setTimeout(go, ms);
    listeners.add(go);
  });
}

export interface Relay {
  url: string;
  /** Destroys the connections there are. */
  destroy(): void;
  /** Carries no byte of the connections there are any more, either way, and closes none of them. */
  silence(): void;
  close(): Promise<void>;
}

/** A TCP relay to a broker, on a port of its own. */
export async function startRelay(brokerUrl: string): Promise<Relay> {
  const { hostname, port } = new URL(brokerUrl);
  const live = new Set<net.Socket>();
  const all = new Set<net.Socket>();
  const server = net.createServer((near) => {
    const far = net.connect(Number(port), hostname);
    join(near, far);
    join(far, near);
  });

  function join(from: net.Socket, to: net.Socket): void {
    for (const set of [live, all]) set.add(from);
    from.setNoDelay(true);
    // A reset is one way of closing.
    from.on("error", () => undefined);
    from.once("close", () => {
      all.delete(from);
      if (live.delete(from)) to.destroy();
    });
    from.pipe(to);
  }

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const destroy = () => {
    for (const socket of all) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`,
    destroy,
    silence() {
      for (const socket of live) socket.unpipe().pause();
      live.clear();
    },
    async close() {
      destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
