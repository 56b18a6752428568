/** Keeps a worker connected: streams to one broker after another, long polls where streams break. */

import { WorkerService } from "../gen/aibroker/v1/worker_service_pb.ts";
import { type Addresses, createAddresses } from "./addresses.ts";
import { backoffMs } from "./backoff.ts";
import { asBrokerError, type BrokerError, isRefusal } from "./broker-error.ts";
import type { Caller } from "./caller.ts";
import type { Courier } from "./courier.ts";
import type { Crew } from "./crew.ts";
import type { Link } from "./link.ts";
import type { Logger } from "./logger.ts";
import { pause, unlessAborted, within } from "./pause.ts";
import { Poller } from "./poller.ts";
import { Session, type SessionEnd, type SessionHost } from "./session.ts";

export interface ConnectorOptions {
  url: readonly string[];
  mode: "auto" | "stream" | "poll";
  workerId: string;
  open(url: string): Promise<Link>;
  host: SessionHost;
  crew: Crew;
  courier: Courier;
  /** For long polls. */
  caller: Caller;
  logger: Logger;
}

interface Open {
  session: Session;
  link: Link;
  url: string;
}

/** How a stream was left: it ended, it is to be replaced, or the worker is to end. */
type Left = { how: "ended"; end: SessionEnd; wasWelcomed: boolean } | { how: "moving" } | { how: "stopping" };

/** A stream that ends sooner has not worked. */
const HEALTHY_AFTER_MS = 2_000;
/** So many in a row, and streams are taken to be broken here. */
const EARLY_ENDS = 3;
/** A heartbeat that asks for nothing but an answer. */
const NO_LEASE = { jobId: "none", leaseToken: "none" };
const PROBE_MS = 5_000;
/** While polling, streams are given another chance this often. */
const STREAM_AGAIN_MS = 180_000;
/** How long a broker gets to end a stream that we have ended. */
const FAREWELL_MS = 1_000;

export class Connector {
  readonly #options: ConnectorOptions;
  readonly #addresses: Addresses;
  #current: Open | undefined;
  /** To be replaced as soon as another stream is there. */
  #old: Open | undefined;
  #poller: Poller | undefined;
  #earlyEnds = 0;
  #failures = 0;

  constructor(options: ConnectorOptions) {
    this.#options = options;
    this.#addresses = createAddresses(options.url);
  }

  /**
   * Resolves soon after the signal, with the stream still open for what is left to report. Rejects with a BrokerError
   * that trying again would not mend.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { mode } = this.#options;
    while (!signal.aborted) {
      if (mode === "poll" || (mode === "auto" && this.#earlyEnds >= EARLY_ENDS)) await this.#poll(signal);
      if (mode === "poll") continue;
      const left = await this.#stream(signal);
      if (left.how === "ended") await this.#recover(left, signal);
    }
  }

  /** Seats were taken or left. */
  seats(): void {
    this.#current?.session.resize(this.#options.crew.seats.room());
    this.#poller?.seats();
  }

  /** Tells the broker that no more jobs are wanted. */
  leave(reason: string): void {
    this.#current?.session.leave(reason);
  }

  async close(): Promise<void> {
    const open = this.#current;
    this.#dropOld();
    open?.session.end();
    if (open !== undefined) await within(FAREWELL_MS, open.session.ended);
    this.#drop(open);
  }

  async #poll(signal: AbortSignal): Promise<void> {
    const { mode, caller, crew, workerId, logger, courier } = this.#options;
    const giveUpAfter = mode === "poll" ? Number.POSITIVE_INFINITY : 1;
    if (mode === "auto") logger.warn({}, "streams end as soon as they begin; asking for jobs by long polls instead");
    const over = new AbortController();
    const stop = () => over.abort();
    const again = mode === "auto" ? setTimeout(stop, STREAM_AGAIN_MS) : undefined;
    signal.addEventListener("abort", stop, { once: true });
    courier.byCalls();
    this.#poller = new Poller({ caller, crew, workerId, logger, giveUpAfter });
    try {
      await this.#poller.run(over.signal);
    } finally {
      this.#poller = undefined;
      clearTimeout(again);
      signal.removeEventListener("abort", stop);
    }
  }

  async #stream(signal: AbortSignal): Promise<Left> {
    if (signal.aborted) return { how: "stopping" };
    const { open, host, courier } = this.#options;
    const url = this.#addresses.current;
    const link = await open(url);
    const session = new Session(link, host);
    const opened = { session, link, url };
    const welcomed = await unlessAborted(signal, session.welcomed);
    if (welcomed !== true) {
      this.#drop(opened);
      return welcomed === undefined ? { how: "stopping" } : await endOf(session, false);
    }
    // From its Hello on the new stream has all the leases, so there is nothing to wait for.
    this.#dropOld();
    this.#current = opened;
    courier.byStream(session);
    // A seat may have changed between the Hello and now.
    this.seats();
    const how = await unlessAborted(
      signal,
      Promise.race([session.ended.then(() => "ended" as const), session.moveDue.then(() => "moving" as const)]),
    );
    if (how === "moving") {
      session.retire();
      this.#old = opened;
      this.#failures = 0;
      this.#addresses.next();
      return { how };
    }
    if (how === undefined) return { how: "stopping" };
    this.#drop(opened);
    return await endOf(session, true);
  }

  /** Throws where no other try would help; waits before the next one otherwise. */
  async #recover({ end, wasWelcomed }: Left & { how: "ended" }, signal: AbortSignal): Promise<void> {
    const { logger } = this.#options;
    const { error, moveAt } = end;
    if (error !== undefined && isHopeless(error, wasWelcomed)) throw error;
    const url = this.#addresses.current;
    const isHealthy = wasWelcomed && end.livedMs >= HEALTHY_AFTER_MS;
    this.#earlyEnds = (await this.#isBroken(end, url, signal)) ? this.#earlyEnds + 1 : 0;
    this.#failures = isHealthy || moveAt !== undefined ? 1 : this.#failures + 1;
    const waitMs =
      moveAt === undefined
        ? backoffMs(this.#failures, Math.random(), error?.retryAfterMs)
        : Math.max(0, moveAt - performance.now());
    if (error?.reason === "SESSION_SUPERSEDED") {
      const text =
        "another stream has taken this instance_id over: another process uses it; give each process its own instanceId";
      logger.warn({ err: error, url, waitMs }, text);
    } else if (moveAt === undefined) {
      logger.warn({ err: error, url, waitMs }, "the stream to the broker is gone; connecting again");
    }
    this.#addresses.next();
    await pause(waitMs, signal);
  }

  /** Whether streams end as soon as they begin where calls get through: a broker that is away is another matter. */
  async #isBroken(end: SessionEnd, url: string, signal: AbortSignal): Promise<boolean> {
    const { mode, open, workerId } = this.#options;
    if (mode !== "auto" || !isEarly(end)) return false;
    if (end.error?.code === "UNIMPLEMENTED") return true;
    const link = await open(url);
    try {
      const request = { workerId, leases: [NO_LEASE] };
      await link.call(WorkerService.method.heartbeat, request, { timeoutMs: PROBE_MS, signal });
      return true;
    } catch (error) {
      // With a reason it is a broker that answers, whatever it says.
      return asBrokerError(error).reason !== undefined;
    } finally {
      link.close();
    }
  }

  #dropOld(): void {
    this.#drop(this.#old);
    this.#old = undefined;
  }

  #drop(open: Open | undefined): void {
    if (open === undefined) return;
    open.session.cancel();
    open.link.close();
    if (this.#current === open) this.#current = undefined;
  }
}

async function endOf(session: Session, wasWelcomed: boolean): Promise<Left> {
  return { how: "ended", end: await session.ended, wasWelcomed };
}

/** Trying again would get the same answer. */
function isHopeless(error: BrokerError, wasWelcomed: boolean): boolean {
  return isRefusal(error) || (!wasWelcomed && error.code === "INVALID_ARGUMENT");
}

/** Whether it looks as if something on the way breaks streams: the broker's own words are no sign of that. */
function isEarly({ error, moveAt, wasHeard, livedMs }: SessionEnd): boolean {
  if (error?.code === "UNIMPLEMENTED") return true;
  if (moveAt !== undefined || error?.reason !== undefined) return false;
  return !wasHeard || livedMs < HEALTHY_AFTER_MS;
}
