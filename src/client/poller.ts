/** Jobs by long polls: for networks that break streams. */
import { randomUUID } from "node:crypto";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { WorkerService } from "../gen/aibroker/v1/worker_service_pb.ts";
import { backoffMs } from "./backoff.ts";
import { asBrokerError, type BrokerError, isTransient } from "./broker-error.ts";
import type { Caller } from "./caller.ts";
import type { Crew } from "./crew.ts";
import type { Logger } from "./logger.ts";
import { pause, unlessAborted } from "./pause.ts";

export interface PollerOptions {
  caller: Caller;
  crew: Crew;
  workerId: string;
  logger: Logger;
  /** After so many calls in a row that did not get through, `run` resolves. */
  giveUpAfter: number;
}

/** How long a claim waits for a job: below the idle time-out of common proxies, 60 s. */
const WAIT_MS = 25_000;
const ANSWER_MARGIN_MS = 10_000;

export class Poller {
  readonly #options: PollerOptions;
  /** Of the claim that waits, or whose answer was lost: the same id gets the same jobs. */
  #requestId = randomUUID();
  #waiting: { types: readonly string[]; leave: AbortController } | undefined;
  #wake: (() => void) | undefined;

  constructor(options: PollerOptions) {
    this.#options = options;
  }

  /** Polls until the signal, or until it gives up. Rejects with a BrokerError that no later call would mend. */
  async run(signal: AbortSignal): Promise<void> {
    const { logger, giveUpAfter } = this.#options;
    let failures = 0;
    while (!signal.aborted) {
      const { types, count } = this.#options.crew.seats.free();
      if (count === 0) {
        await this.#seat(signal);
        continue;
      }
      const error = await this.#claim(types, count, signal);
      if (error === undefined) {
        failures = 0;
        continue;
      }
      failures += 1;
      if (failures >= giveUpAfter) return;
      const waitMs = backoffMs(failures, Math.random(), error.retryAfterMs);
      logger.warn({ err: error, waitMs }, "a claim did not get through");
      await pause(waitMs, signal);
    }
  }

  /** A seat may have become free. */
  seats(): void {
    this.#wake?.();
    if (this.#waiting === undefined) return;
    const { types, leave } = this.#waiting;
    // The claim that waits does not ask for a type that could be taken now.
    if (this.#options.crew.seats.free().types.some((type) => !types.includes(type))) leave.abort();
  }

  /** One claim; answers the error that made it fail, where trying again may help. */
  async #claim(types: string[], count: number, signal: AbortSignal): Promise<BrokerError | undefined> {
    const { caller, crew, workerId } = this.#options;
    const leave = new AbortController();
    const stop = () => leave.abort();
    signal.addEventListener("abort", stop, { once: true });
    this.#waiting = { types, leave };
    try {
      const { jobs } = await caller.once(
        WorkerService.method.claim,
        { workerId, types, maxJobs: count, wait: durationFromMs(WAIT_MS), requestId: this.#requestId },
        { timeoutMs: WAIT_MS + ANSWER_MARGIN_MS, signal: leave.signal },
      );
      this.#requestId = randomUUID();
      const admission = crew.admit(jobs);
      // In a turn of its own, so that the next claim is on its way before a handler can hold the event loop.
      setImmediate(() => admission.start());
      return undefined;
    } catch (thrown) {
      // It left of its own accord.
      if (leave.signal.aborted) return undefined;
      const error = asBrokerError(thrown);
      if (!isTransient(error)) throw error;
      return error;
    } finally {
      signal.removeEventListener("abort", stop);
      this.#waiting = undefined;
    }
  }

  /** Until a seat may be free. */
  async #seat(signal: AbortSignal): Promise<void> {
    const free = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    await unlessAborted(signal, free);
  }
}
