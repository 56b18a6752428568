/** JobService.WatchJobs: one stream, from its state to its end. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { Outbox } from "../dispatch/outbox.ts";
import { brokerLeaves } from "../dispatch/session-faults.ts";
import type { WatchPlace, WatchUpdate } from "../dispatch/watch.ts";
import { BrokerError, badField } from "../errors.ts";
import type { WatchJobsRequest, WatchJobsResponseSchema } from "../gen/aibroker/v1/job_service_pb.ts";
import { asBrokerError } from "../store/database-errors.ts";
import type { EventFilter } from "../store/events.ts";
import { watchState } from "../store/watch-state.ts";
import { drainSignal, hangUp } from "./drain.ts";
import type { ServiceContext } from "./service-context.ts";
import { watchFilter } from "./validate-watch.ts";
import { watchCursor, watchPlace } from "./watch-cursor.ts";
import { jobEvent, watchedJob } from "./watch-messages.ts";

/** What may wait for a watcher to read; a page of events with the longest errors fits beside what AHEAD_BYTES allows. */
const WAITING = { messages: 10_000, bytes: 8 * 1024 * 1024 };
/** A watcher for which more than this waits is told no more until it has read on, and then reads the rest by itself. */
const AHEAD_BYTES = 1024 * 1024;
/** About what a job or an event takes in a frame, beside its error. */
const ITEM_BYTES = 400;
const FRAME_ITEMS = 500;
/** The state is read and kept as a whole. */
const STATE_JOBS = 10_000;
/** After its end a stream that is not read gets this long until it is cut. */
const LAST_WORDS_MS = 5_000;

type Response = MessageInitShape<typeof WatchJobsResponseSchema>;

/** The handler of the RPC. */
export function createWatchJobs(ctx: ServiceContext) {
  let open = 0;
  return async function* watchJobs(request: WatchJobsRequest, context: HandlerContext) {
    const filter = watchFilter(request);
    if (open >= ctx.limits.maxWatches) throw tooManyWatches(open);
    open += 1;
    const stream = new WatchStream(ctx, filter, context);
    // A generator that waits in `yield` never learns that its client has left; the signal does.
    void stream.over.then(() => {
      open -= 1;
    });
    void stream.begin(request);
    yield* stream.outbox;
  };
}

class WatchStream {
  readonly outbox = new Outbox<Response>(WAITING);
  readonly #ctx: ServiceContext;
  readonly #filter: EventFilter;
  readonly #context: HandlerContext;
  readonly #over = Promise.withResolvers<void>();
  /** Resolves when nothing more is told. */
  readonly over = this.#over.promise;
  #ended = false;
  #beat: NodeJS.Timeout | undefined;
  #at: WatchPlace | undefined;
  #full = Promise.withResolvers<void>();

  constructor(ctx: ServiceContext, filter: EventFilter, context: HandlerContext) {
    this.#ctx = ctx;
    this.#filter = filter;
    this.#context = context;
    context.signal.addEventListener("abort", () => this.end(), { once: true });
    const drain = drainSignal(context.values);
    const leave = () => this.end(brokerLeaves());
    drain.addEventListener("abort", leave, { once: true });
    void this.over.then(() => drain.removeEventListener("abort", leave));
    if (drain.aborted) leave();
  }

  /** Sends what is, then what comes; never rejects. */
  async begin(request: WatchJobsRequest): Promise<void> {
    try {
      this.#at = await this.#start(request);
      while (!this.#ended) {
        this.#full = Promise.withResolvers();
        const { leave } = await this.#ctx.watches.watch({
          filter: this.#filter,
          from: this.#at,
          tell: (update) => this.#tell(update),
        });
        await Promise.race([this.#full.promise, this.over]);
        leave();
        await this.#room();
      }
    } catch (err) {
      this.end(asBrokerError(err));
    }
  }

  /** Resolves when the watcher has read on; one that does not is ended. */
  async #room(): Promise<void> {
    const stalled = setTimeout(() => this.end(slowWatcher()), this.#ctx.limits.watchStallMs);
    await this.outbox.below(AHEAD_BYTES);
    clearTimeout(stalled);
  }

  async #start(request: WatchJobsRequest): Promise<WatchPlace> {
    const { watches, db } = this.#ctx;
    if (request.cursor !== "" || request.changesOnly) {
      const from = request.cursor === "" ? await watches.now() : watchPlace(request.cursor, this.#filter);
      this.#say({ case: "heartbeat", value: {} }, 1, from);
      return from;
    }
    const state = await watchState(db, this.#filter, STATE_JOBS);
    if (state.jobs.length > STATE_JOBS) throw tooWide();
    const from = { place: state.from, snapshot: state.snapshot };
    const known = new Set(state.jobs.map(({ jobId }) => jobId));
    const unknownJobIds = (this.#filter.jobIds ?? []).filter((id) => !known.has(id));
    for (let at = 0; at === 0 || at < state.jobs.length; at += FRAME_ITEMS) {
      const jobs = state.jobs.slice(at, at + FRAME_ITEMS);
      const complete = at + FRAME_ITEMS >= state.jobs.length;
      await this.#room();
      const value = { jobs: jobs.map(watchedJob), complete, unknownJobIds: complete ? unknownJobIds : [] };
      this.#say({ case: "state", value }, bytesOf(jobs), complete ? from : undefined);
    }
    return from;
  }

  #tell(update: WatchUpdate): boolean {
    if (update.events.length > 0 && this.outbox.waiting > AHEAD_BYTES) {
      this.#full.resolve();
      return false;
    }
    const { events } = update;
    // One frame, since only the place behind the whole page divides no job's events.
    if (events.length > 0) {
      this.#say({ case: "changes", value: { events: events.map(jobEvent) } }, bytesOf(events), update);
    } else {
      // The next heartbeat takes it along.
      this.#at = update;
    }
    return !this.#ended;
  }

  #say(frame: NonNullable<Response["frame"]>, bytes: number, at: WatchPlace | undefined): void {
    if (this.#ended) return;
    const cursor = at === undefined ? "" : watchCursor(at, this.#filter);
    if (!this.outbox.push({ frame, cursor }, bytes)) {
      this.end(slowWatcher());
      return;
    }
    if (at !== undefined) this.#at = at;
    this.#beatLater();
  }

  #beatLater(): void {
    clearTimeout(this.#beat);
    if (this.#ended) return;
    this.#beat = setTimeout(() => {
      // What still waits is as good a sign of life.
      if (this.outbox.waiting === 0) this.#say({ case: "heartbeat", value: {} }, 1, this.#at);
      else this.#beatLater();
    }, this.#ctx.limits.watchHeartbeatMs);
  }

  end(fault?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#beat);
    this.outbox.end(fault);
    if (fault !== undefined) hangUp(this.#context.values, LAST_WORDS_MS);
    this.#over.resolve();
  }
}

function bytesOf(items: readonly { error: string | null }[]): number {
  return items.reduce((sum, { error }) => sum + ITEM_BYTES + (error?.length ?? 0), 0);
}

function tooWide(): BrokerError {
  return badField(
    "filter",
    `more than ${STATE_JOBS} jobs fit: give more of job_ids, types, tenant_id, source_domain and source_id, or set ` +
      "changes_only",
  );
}

function tooManyWatches(count: number): BrokerError {
  return new BrokerError(
    "TOO_MANY_STREAMS",
    `this broker serves ${count} watchers and takes no more (WATCH_MAX_STREAMS); connect to another one, or later`,
    { retryAfterMs: 1_000 + Math.round(Math.random() * 4_000) },
  );
}

function slowWatcher(): BrokerError {
  const text = "the watcher has stopped reading (WATCH_STALL_MS): call again with the cursor of the last frame it read";
  return new BrokerError("SLOW_READER", text, { retryAfterMs: 1_000 });
}
