/** A watch as a program holds it: an iterable that reconnects by itself, and is left in any way there is. */
import { JobService } from "../gen/aibroker/v1/job_service_pb.ts";
import { type Caller, closedError } from "./caller.ts";
import { SILENCE_MS } from "./silence.ts";
import { type FrameOptions, type JobFilter, type OpenWatch, watchFrames } from "./watch-frames.ts";
import { type WatchUpdate, watchUpdate } from "./watch-view.ts";

export interface WatchOptions extends FrameOptions {
  /** Aborted: the watch ends at once, without an error. */
  signal?: AbortSignal;
  /**
   * Nothing came for so long: the broker is taken for gone, and another stream is opened. Default 45,000, three of the
   * broker's heartbeats; more than its WATCH_HEARTBEAT_MS.
   */
  silenceMs?: number;
}

/** Made by client.watch. Connects when the first update is asked for, and reads no further than it is asked. */
export class Watch implements AsyncIterableIterator<WatchUpdate, void>, AsyncDisposable {
  readonly #leave = new AbortController();
  readonly #updates: AsyncGenerator<WatchUpdate, void>;

  constructor(caller: Caller, filter: JobFilter, options: WatchOptions) {
    this.#updates = updatesOf(caller, filter, options, this.#leave);
  }

  async next(): Promise<IteratorResult<WatchUpdate, void>> {
    return await this.#updates.next();
  }

  /** Ends the watch at once, also while an update is waited for. */
  async return(): Promise<IteratorResult<WatchUpdate, void>> {
    // A generator takes a return only when it has yielded.
    this.#leave.abort();
    return await this.#updates.return();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}

async function* updatesOf(
  caller: Caller,
  filter: JobFilter,
  { signal, silenceMs = SILENCE_MS, ...options }: WatchOptions,
  leave: AbortController,
): AsyncGenerator<WatchUpdate, void> {
  const stop = () => leave.abort();
  if (signal?.aborted || caller.isClosed) stop();
  signal?.addEventListener("abort", stop, { once: true });
  const forget = caller.onClose(stop);
  const open: OpenWatch = (request, cut) =>
    caller.stream(JobService.method.watchJobs, request, { signal: cut, silenceMs });
  try {
    for await (const frame of watchFrames(open, filter, options, leave.signal)) yield watchUpdate(frame);
  } finally {
    signal?.removeEventListener("abort", stop);
    forget();
  }
  if (caller.isClosed && !signal?.aborted) throw closedError();
}
