/** One Work stream as the history has it: its Hello, what was pushed, and what was reported and released over it. */
import type { WorkRequest, WorkResponse } from "../../../src/gen/aibroker/v1/worker_service_pb.ts";
import type { Call, Item, Recorder } from "../history/record.ts";
import { claimed, named, released, renewed, reported, settled } from "./wire.ts";

interface Ack {
  id: bigint;
  retryAfter?: unknown;
}

/** As much of a grpc-js call as is looked at. */
interface Followed {
  write(message: unknown, ...rest: unknown[]): unknown;
  on(event: string, told: (message: never) => void): unknown;
}

export class StreamRecord {
  readonly #recorder: Recorder;
  readonly #reports = new Map<bigint, Call>();
  readonly #releases = new Map<bigint, Call>();
  readonly #beats = new Map<bigint, Call>();
  #hello: Call | undefined;
  #worker = "";
  #instance = "";
  /** The most that the worker has ever said it takes: a smaller number counts only once the broker has heard of it. */
  #limit = 0;

  constructor(recorder: Recorder) {
    this.#recorder = recorder;
  }

  follow(call: Followed): void {
    const write = call.write.bind(call);
    call.write = (message, ...rest) => {
      this.#sends(message as WorkRequest);
      return write(message, ...rest);
    };
    call.on("data", (message: WorkResponse) => this.#gets(message));
    call.on("error", (error: Error) => this.#ends(error.message));
    call.on("end", () => this.#ends("the stream has ended"));
  }

  #sends({ frame }: WorkRequest): void {
    const worker = this.#worker;
    if (frame.case === "hello") {
      this.#worker = frame.value.workerId;
      this.#instance = frame.value.instanceId;
      this.#limit = frame.value.maxInFlight;
      const facts = { worker: this.#worker, instance: this.#instance, items: named(frame.value.held) };
      this.#hello = this.#recorder.invoke("hello", facts);
    } else if (frame.case === "capacity") {
      this.#limit = Math.max(this.#limit, frame.value.maxInFlight);
    } else if (frame.case === "reports") {
      this.#reports.set(
        frame.value.id,
        this.#recorder.invoke("report", { worker, items: reported(frame.value.items) }),
      );
    } else if (frame.case === "release") {
      this.#releases.set(
        frame.value.id,
        this.#recorder.invoke("release", { worker, items: named(frame.value.leases) }),
      );
    } else if (frame.case === "heartbeat") {
      this.#beats.set(frame.value.id, this.#recorder.invoke("heartbeat", { worker, items: named(frame.value.leases) }));
    }
  }

  #gets({ frame }: WorkResponse): void {
    const worker = this.#worker;
    if (frame.case === "welcome") {
      this.#hello?.ok({ worker, items: renewed(frame.value.held) });
      this.#hello = undefined;
    } else if (frame.case === "jobs") {
      const facts = { worker, instance: this.#instance, limit: this.#limit };
      this.#recorder.told("push", { ...facts, items: claimed(frame.value.jobs) });
    } else if (frame.case === "reportAck") {
      this.#answered(this.#reports, frame.value, settled(frame.value.results));
    } else if (frame.case === "releaseAck") {
      this.#answered(this.#releases, frame.value, released(frame.value.results));
    } else if (frame.case === "heartbeatAck") {
      this.#answered(this.#beats, frame.value, renewed(frame.value.leases));
    }
  }

  #answered(open: Map<bigint, Call>, { id, retryAfter }: Ack, items: Item[]): void {
    const call = open.get(id);
    open.delete(id);
    if (retryAfter === undefined) call?.ok({ worker: this.#worker, items });
    else call?.unknown("the broker asks for it again: its database was away");
  }

  #ends(why: string): void {
    this.#hello?.unknown(why);
    this.#hello = undefined;
    for (const open of [this.#reports, this.#releases, this.#beats]) {
      for (const call of open.values()) call.unknown(why);
      open.clear();
    }
  }
}
