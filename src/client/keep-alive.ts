/** The worker's side of its keep-alive thread. */
import { extname } from "node:path";
import { Worker as Thread } from "node:worker_threads";
import type { ProgressNews } from "./beats.ts";
import type { Verdict } from "./handler.ts";
import { type Heartbeats, type HeartbeatsOptions, type News, type Order, startHeartbeats } from "./heartbeats.ts";
import type { ThreadData } from "./keep-alive-thread.ts";
import type { LeaseName, LeaseWatcher } from "./lease-book.ts";
import type { Logger } from "./logger.ts";
import { pause } from "./pause.ts";

export interface KeepAliveOptions extends HeartbeatsOptions {
  logger: Logger;
  judged(leaseToken: string, verdict: Verdict): void;
  /** Another file for the thread, for tests. */
  thread?: URL;
}

/** As ./keep-alive-thread.ts beside the sources and .js beside what is built of them. */
const THREAD = new URL(`./keep-alive-thread${extname(import.meta.url)}`, import.meta.url);
/** A thread that ends by itself is started again; one that never gets up is given up. */
const MAX_STARTS = 5;
const START_AGAIN_MS = 1_000;

export class KeepAlive implements LeaseWatcher {
  readonly #options: KeepAliveOptions;
  /** What a new thread has to be told. */
  readonly #held = new Map<string, LeaseName>();
  /** Come and gone in this turn of the event loop. */
  #news: { held: LeaseName[]; dropped: string[] } | undefined;
  readonly #over = new AbortController();
  readonly #ready = Promise.withResolvers<void>();
  #intervalMs: number | undefined;
  #heartbeats: Heartbeats | undefined;
  #starts = 0;

  constructor(options: KeepAliveOptions) {
    this.#options = options;
  }

  /** Resolves when heartbeats can begin: a handler that holds the event loop from then on is no harm. */
  async start(): Promise<void> {
    this.#startThread();
    if (this.#options.maxBlockMs !== undefined) void this.#saySoForEver(this.#options.maxBlockMs / 4);
    await this.#ready.promise;
  }

  hold({ jobId, leaseToken }: LeaseName): void {
    const lease = { jobId, leaseToken };
    this.#held.set(leaseToken, lease);
    this.#gather().held.push(lease);
  }

  drop({ leaseToken }: LeaseName): void {
    this.#held.delete(leaseToken);
    this.#gather().dropped.push(leaseToken);
  }

  progress({ leaseToken }: LeaseName, news: ProgressNews): void {
    if (!this.#held.has(leaseToken)) return;
    this.#tellNews();
    this.#order({ kind: "progress", leaseToken, news });
  }

  /** At least so often, as long as the broker of a stream has not said more. */
  hurry(intervalMs: number): void {
    if (intervalMs < (this.#intervalMs ?? Number.POSITIVE_INFINITY)) this.pace(intervalMs);
  }

  /** How often: a third of the lease's ttl. */
  pace(intervalMs: number): void {
    if (intervalMs === this.#intervalMs) return;
    this.#intervalMs = intervalMs;
    this.#order({ kind: "pace", intervalMs });
  }

  stop(): void {
    this.#over.abort();
    this.#ready.resolve();
    this.#heartbeats?.stop();
    this.#heartbeats = undefined;
  }

  /**
   * Many leases come and go in one message: a message for each took a fifth of the worker's CPU. They go before anything
   * that was started later, so before a handler can hold the event loop.
   */
  #gather(): { held: LeaseName[]; dropped: string[] } {
    if (this.#news === undefined) {
      this.#news = { held: [], dropped: [] };
      queueMicrotask(() => this.#tellNews());
    }
    return this.#news;
  }

  #tellNews(): void {
    const news = this.#news;
    this.#news = undefined;
    if (news !== undefined) this.#order({ kind: "leases", ...news });
  }

  #order(order: Order): void {
    this.#heartbeats?.obey(order);
  }

  #startThread(): void {
    const { logger, caller, workerId, maxBlockMs } = this.#options;
    this.#starts += 1;
    const workerData: ThreadData = { caller, workerId, maxBlockMs };
    const thread = new Thread(this.#options.thread ?? THREAD, { workerData, name: "ai-job-broker heartbeats" });
    // It must not keep a process up that has nothing else to do.
    thread.unref();
    thread.on("message", (news: News) => this.#hear(news));
    thread.on("error", (error: NodeJS.ErrnoException) => {
      logger.warn({ err: error }, "the heartbeat thread failed");
      // A bundle of one file has no file for a thread.
      if (error.code?.endsWith("MODULE_NOT_FOUND")) this.#starts = MAX_STARTS;
    });
    thread.on("exit", () => void this.#startAgain());
    this.#begin({ obey: (order) => thread.postMessage(order), stop: () => void thread.terminate() });
  }

  async #startAgain(): Promise<void> {
    if (this.#over.signal.aborted) return;
    const { logger, caller, workerId, maxBlockMs } = this.#options;
    if (this.#starts < MAX_STARTS) {
      await pause(START_AGAIN_MS * (this.#starts - 1), this.#over.signal);
      if (!this.#over.signal.aborted) this.#startThread();
      return;
    }
    logger.error({}, "no heartbeat thread: leases of handlers that hold the event loop for long will be lost");
    this.#begin(startHeartbeats({ caller, workerId, maxBlockMs }, (news) => this.#hear(news)));
  }

  /** Tells new heartbeats all that they have to know. */
  #begin(heartbeats: Heartbeats): void {
    this.#heartbeats = heartbeats;
    if (this.#intervalMs !== undefined) this.#order({ kind: "pace", intervalMs: this.#intervalMs });
    if (this.#held.size > 0) this.#order({ kind: "leases", held: [...this.#held.values()], dropped: [] });
  }

  #hear(news: News): void {
    const { logger, judged } = this.#options;
    if (news.kind === "ready") {
      this.#ready.resolve();
    } else if (news.kind === "judged") {
      for (const { leaseToken, verdict } of news.verdicts) judged(leaseToken, verdict);
    } else if (news.message === undefined) {
      logger.info({}, "heartbeats get through again");
    } else {
      logger.warn({ reason: news.message }, "heartbeats do not get through; leases may run out");
    }
  }

  async #saySoForEver(everyMs: number): Promise<void> {
    while (!this.#over.signal.aborted) {
      this.#order({ kind: "alive" });
      await pause(everyMs, this.#over.signal);
    }
  }
}
