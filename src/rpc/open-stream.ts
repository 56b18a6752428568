/** A stream of messages to a watcher: what waits for it, a sign of life where nothing else is said, and its end. */
import type { HandlerContext } from "@connectrpc/connect";
import { Outbox, type OutboxLimits } from "../dispatch/outbox.ts";
import { brokerLeaves } from "../dispatch/session-faults.ts";
import { BrokerError } from "../errors.ts";
import { drainSignal, hangUp } from "./drain.ts";
import type { ServiceLimits } from "./service-context.ts";

export interface OpenStreamOptions<R> {
  context: HandlerContext;
  limits: Pick<ServiceLimits, "watchHeartbeatMs" | "watchStallMs">;
  /** What may wait for the watcher to read. */
  waiting: OutboxLimits;
  heartbeat: () => R;
}

/** After its end a stream that is not read gets this long until it is cut. */
const LAST_WORDS_MS = 5_000;

export class OpenStream<R> {
  readonly outbox: Outbox<R>;
  readonly #options: OpenStreamOptions<R>;
  readonly #over = Promise.withResolvers<void>();
  /** Resolves when nothing more is told. */
  readonly over = this.#over.promise;
  #hasEnded = false;
  #beat: NodeJS.Timeout | undefined;

  constructor(options: OpenStreamOptions<R>) {
    this.#options = options;
    this.outbox = new Outbox(options.waiting);
    const { context } = options;
    // A generator that waits in `yield` never learns that its client has left; the signal does.
    context.signal.addEventListener("abort", () => this.end(), { once: true });
    const drain = drainSignal(context.values);
    const leave = () => this.end(brokerLeaves());
    drain.addEventListener("abort", leave, { once: true });
    void this.over.then(() => drain.removeEventListener("abort", leave));
    if (drain.aborted) leave();
    // A deadline may pass before the handler is called.
    if (context.signal.aborted) this.end();
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** A watcher that has no room for it is ended. */
  say(message: R, bytes: number): void {
    if (this.#hasEnded) return;
    if (this.outbox.push(message, bytes)) this.#beatLater();
    else this.end(slowWatcher());
  }

  /** Resolves when no more than so many bytes wait; a watcher that does not read on is ended. */
  async room(bytes: number): Promise<void> {
    const stalled = setTimeout(() => this.end(slowWatcher()), this.#options.limits.watchStallMs);
    await this.outbox.below(bytes);
    clearTimeout(stalled);
  }

  #beatLater(): void {
    clearTimeout(this.#beat);
    if (this.#hasEnded) return;
    this.#beat = setTimeout(() => {
      // What still waits is as good a sign of life.
      if (this.outbox.waiting === 0) this.say(this.#options.heartbeat(), 1);
      else this.#beatLater();
    }, this.#options.limits.watchHeartbeatMs);
  }

  end(fault?: unknown): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    clearTimeout(this.#beat);
    this.outbox.end(fault);
    if (fault !== undefined) hangUp(this.#options.context.values, LAST_WORDS_MS);
    this.#over.resolve();
  }
}

/** So many watchers at a time. */
export class WatcherCount {
  readonly #most: number;
  #open = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** Throws TOO_MANY_STREAMS where there is no place for another one. */
  refuseTooMany(): void {
    if (this.#open < this.#most) return;
    throw new BrokerError(
      "TOO_MANY_STREAMS",
      `this broker serves ${this.#open} watchers and takes no more (WATCH_MAX_STREAMS); connect to another one, or later`,
      { retryAfterMs: 1_000 + Math.round(Math.random() * 4_000) },
    );
  }

  /** Counts it until it is over. */
  add({ over }: Pick<OpenStream<unknown>, "over">): void {
    this.#open += 1;
    void over.then(() => {
      this.#open -= 1;
    });
  }
}

function slowWatcher(): BrokerError {
  const text =
    "the watcher has stopped reading (WATCH_STALL_MS): call again, WatchJobs with the cursor of the last frame it read";
  return new BrokerError("SLOW_READER", text, { retryAfterMs: 1_000 });
}
