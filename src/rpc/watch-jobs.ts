/** JobService.WatchJobs: one stream, from its state to its end. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import type { WatchPlace, WatchUpdate } from "../dispatch/watch.ts";
import { type BrokerError, badField } from "../errors.ts";
import type { WatchJobsRequest, WatchJobsResponseSchema } from "../gen/aibroker/v1/job_service_pb.ts";
import { asBrokerError } from "../store/database-errors.ts";
import type { EventFilter } from "../store/events.ts";
import { watchState } from "../store/watch-state.ts";
import { OpenStream, WatcherCount } from "./open-stream.ts";
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

type Response = MessageInitShape<typeof WatchJobsResponseSchema>;

/** The handler of the RPC. */
export function createWatchJobs(ctx: ServiceContext) {
  const watchers = new WatcherCount(ctx.limits.maxWatches);
  return async function* watchJobs(request: WatchJobsRequest, context: HandlerContext) {
    const filter = watchFilter(request);
    watchers.refuseTooMany();
    const stream = new WatchStream(ctx, filter, context);
    watchers.add(stream);
    void stream.begin(request);
    yield* stream.outbox;
  };
}

class WatchStream {
  readonly #stream: OpenStream<Response>;
  readonly #ctx: ServiceContext;
  readonly #filter: EventFilter;
  #at: WatchPlace | undefined;
  #full = Promise.withResolvers<void>();

  constructor(ctx: ServiceContext, filter: EventFilter, context: HandlerContext) {
    this.#ctx = ctx;
    this.#filter = filter;
    const heartbeat = () => this.#message({ case: "heartbeat", value: {} }, this.#at);
    this.#stream = new OpenStream({ context, limits: ctx.limits, waiting: WAITING, heartbeat });
  }

  get outbox() {
    return this.#stream.outbox;
  }

  /** Resolves when nothing more is told. */
  get over() {
    return this.#stream.over;
  }

  /** Sends what is, then what comes; never rejects. */
  async begin(request: WatchJobsRequest): Promise<void> {
    try {
      this.#at = await this.#start(request);
      while (!this.#stream.hasEnded) {
        this.#full = Promise.withResolvers();
        const { leave } = await this.#ctx.watches.watch({
          filter: this.#filter,
          from: this.#at,
          tell: (update) => this.#tell(update),
        });
        await Promise.race([this.#full.promise, this.over]);
        leave();
        await this.#stream.room(AHEAD_BYTES);
      }
    } catch (err) {
      this.#stream.end(asBrokerError(err));
    }
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
      await this.#stream.room(AHEAD_BYTES);
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
    return !this.#stream.hasEnded;
  }

  #say(frame: NonNullable<Response["frame"]>, bytes: number, at: WatchPlace | undefined): void {
    this.#stream.say(this.#message(frame, at), bytes);
    if (at !== undefined) this.#at = at;
  }

  #message(frame: NonNullable<Response["frame"]>, at: WatchPlace | undefined): Response {
    return { frame, cursor: at === undefined ? "" : watchCursor(at, this.#filter) };
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
