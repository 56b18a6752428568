/** The worker's side: handlers for types of jobs, and everything that keeps them in work. */
import { readFileSync } from "node:fs";
import { WorkerService } from "../gen/aibroker/v1/worker_service_pb.ts";
import type { BrokerError } from "./broker-error.ts";
import { Caller } from "./caller.ts";
import { unaryCarriers } from "./carriers.ts";
import { Connector } from "./connector.ts";
import { Courier } from "./courier.ts";
import { Crew } from "./crew.ts";
import { Shutdown } from "./failures.ts";
import type { TypeEntry, Verdict } from "./handler.ts";
import type { KnownJobTypes } from "./job-types.ts";
import { KeepAlive } from "./keep-alive.ts";
import { type Lease, LeaseBook, verdictOf } from "./lease-book.ts";
import { openLink } from "./open-link.ts";
import { unlessAborted, within } from "./pause.ts";
import { createReleases, createReports } from "./reports.ts";
import { type StopSignals, stopSignals } from "./stop-signals.ts";
import { createHost } from "./stream-host.ts";
import { type ReadyOptions, readOptions, type SchemasOf, type WorkerOptions } from "./worker-options.ts";

/** A worker that can run once. */
export interface Worker {
  readonly workerId: string;
  readonly instanceId: string;
  /**
   * Works until the signal (or SIGTERM or SIGINT), then lets handlers finish within graceMs, gives back what is left,
   * and resolves when every result is with the broker. Rejects with a BrokerError when the broker refuses the worker
   * for good, as for a wrong token; faults that may pass are waited out.
   */
  run(options?: { signal?: AbortSignal }): Promise<void>;
}

/** Makes a worker. Nothing happens before `run`. Throws a TypeError that names an option that will not do. */
export function createWorker<
  M extends object = KnownJobTypes,
  K extends string = keyof M & string,
  P = SchemasOf<M, "payload">,
  R = SchemasOf<M, "result">,
>(options: WorkerOptions<M, K, P, R>): Worker {
  const { types, ...settings } = options;
  return new RunnableWorker(readOptions({ ...settings, types: types as Readonly<Record<string, TypeEntry>> }));
}

/** How long handlers get to stop once they were told to; a result that comes in this time still counts. */
const STOP_MS = 1_000;
/** How long the last reports get to reach a broker. */
const FLUSH_MS = 10_000;
const HEARTBEAT_MS = 5_000;
/** Larger reports go by themselves; a batch has no need to be larger. */
const BATCH_BYTES = 1024 * 1024;

class RunnableWorker implements Worker {
  readonly workerId: string;
  readonly instanceId: string;
  readonly #options: ReadyOptions;
  readonly #caller: Caller;
  readonly #keepAlive: KeepAlive;
  readonly #book: LeaseBook;
  readonly #crew: Crew;
  readonly #reports;
  readonly #releases;
  readonly #courier: Courier;
  readonly #connector: Connector;
  readonly #refused = Promise.withResolvers<never>();
  #maxBytes = BATCH_BYTES;
  #hasRun = false;

  constructor(options: ReadyOptions) {
    const { workerId, instanceId, logger, types, concurrency, url, token, ca, cert, key, transport, maxBlockMs } =
      options;
    this.workerId = workerId;
    this.instanceId = instanceId;
    this.#options = options;
    const caller = { url, token, ca, cert, key, transport };
    this.#caller = new Caller(caller);
    const judged = (leaseToken: string, verdict: Verdict) => this.#crew.judge(leaseToken, verdict);
    this.#keepAlive = new KeepAlive({ caller, workerId, maxBlockMs, logger, judged });
    this.#book = new LeaseBook(this.#keepAlive);
    this.#reports = createReports(this.#book, logger, () => this.#maxBytes);
    this.#releases = createReleases(this.#book, logger, () => this.#maxBytes);
    this.#crew = new Crew({
      types,
      concurrency,
      book: this.#book,
      reports: this.#reports,
      releases: this.#releases,
      logger,
      onSeats: () => this.#connector.seats(),
      onLeaseTtl: (ms) => this.#keepAlive.hurry(ms / 3),
      progress: (lease, percent, note) => this.#keepAlive.progress(lease, { percent, note }),
      heartbeat: (lease) => this.#heartbeat(lease),
    });
    const boxes = { reports: this.#reports, releases: this.#releases };
    const onRefusal = (error: BrokerError) => this.#refused.reject(error);
    const unary = unaryCarriers({ caller: this.#caller, workerId, ...boxes, logger, onRefusal });
    this.#refused.promise.catch(() => undefined);
    this.#courier = new Courier({ ...boxes, unary });
    this.#connector = this.#connect();
  }

  async run({ signal }: { signal?: AbortSignal } = {}): Promise<void> {
    if (this.#hasRun) throw new Error("this worker has run; make another one");
    this.#hasRun = true;
    const signals = this.#options.signals ? stopSignals() : undefined;
    const refused = new AbortController();
    const stop = AbortSignal.any([refused.signal, signal, signals?.signal].filter((one) => one !== undefined));
    const connected = unlessAborted(stop, this.#keepAlive.start()).then(() => this.#connector.run(stop));
    try {
      await Promise.race([connected, this.#refused.promise]);
      await Promise.race([this.#drain(), this.#refused.promise]);
    } finally {
      refused.abort();
      await connected.catch(() => undefined);
      await this.#close(signals);
    }
  }

  #connect(): Connector {
    const { url, token, ca, cert, key, transport, mode, workerId, instanceId, logger } = this.#options;
    const host = createHost({
      workerId,
      instanceId,
      client: clientName(),
      crew: this.#crew,
      book: this.#book,
      reports: this.#reports,
      releases: this.#releases,
      logger,
      onMaxBytes: (bytes) => {
        this.#maxBytes = Math.min(BATCH_BYTES, bytes);
      },
      onHeartbeatInterval: (ms) => this.#keepAlive.pace(ms),
    });
    return new Connector({
      url,
      mode,
      workerId,
      open: (one) => openLink({ url: one, token, ca, cert, key, transport }),
      host,
      crew: this.#crew,
      courier: this.#courier,
      caller: this.#caller,
      logger,
    });
  }

  async #drain(): Promise<void> {
    const { graceMs, logger } = this.#options;
    const { size } = this.#crew.seats;
    logger.info({ jobs: size, graceMs }, "the worker ends: no new jobs, those under way may finish");
    this.#connector.leave("the worker ends");
    this.#crew.seats.close();
    this.#courier.hurry();
    if (!(await within(graceMs, this.#crew.idle()))) {
      this.#crew.abort(new Shutdown("the worker ends"));
      await within(STOP_MS, this.#crew.idle());
      this.#crew.releaseAll("the worker ends");
    }
    const told = await within(FLUSH_MS, Promise.all([this.#reports.empty(), this.#releases.empty()]));
    if (told) return logger.info({}, "the worker has ended, and the broker knows of every job");
    const left = { reports: this.#reports.size, releases: this.#releases.size };
    logger.error(left, "the worker has ended, and the broker could not be told of all jobs; their leases run out");
  }

  async #close(signals: StopSignals | undefined): Promise<void> {
    // Only after a refusal is there still somebody at work, who could not tell of it.
    this.#crew.seats.close();
    this.#crew.abort(new Shutdown("the broker refuses this worker"));
    this.#courier.stop();
    await this.#connector.close();
    this.#reports.close();
    this.#releases.close();
    this.#keepAlive.stop();
    this.#caller.close();
    signals?.dispose();
  }

  async #heartbeat({ jobId, leaseToken }: Lease): Promise<Verdict> {
    const request = { workerId: this.workerId, leases: [{ jobId, leaseToken }] };
    try {
      const { leases } = await this.#caller.call(WorkerService.method.heartbeat, request, { timeoutMs: HEARTBEAT_MS });
      const verdict = verdictOf(leases[0]?.verdict);
      this.#crew.judge(leaseToken, verdict);
      return verdict;
    } catch {
      // No fault of the handler, and the thread goes on trying.
      return "UNKNOWN";
    }
  }
}

/** What speaks, for operators. */
function clientName(): string {
  const name = "ai-job-broker-node";
  try {
    const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
    return `${name}/${(JSON.parse(text) as { version: string }).version}`;
  } catch {
    // Bundled with the program, far from our package.json.
    return name;
  }
}
