/** Heartbeats for all held leases, at the broker's pace. Runs in a thread of its own, so it knows nothing of handlers. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { LeaseRefSchema } from "../gen/aibroker/v1/job_pb.ts";
import type { Verdict } from "./handler.ts";
import type { LeaseName } from "./lease-book.ts";

export interface Judged {
  leaseToken: string;
  verdict: Verdict;
}

export interface BeatsOptions {
  /** One Heartbeat call. Answers in the order of the leases; rejects when no broker answered. */
  send(leases: MessageInitShape<typeof LeaseRefSchema>[], timeoutMs: number): Promise<Verdict[]>;
  /** Told what is not CONTINUE. */
  judged(verdicts: Judged[]): void;
  /** Told of a failure, and of the success after it (undefined). */
  trouble(error: unknown): void;
  /** Whether the process is worth its leases: false stops the heartbeats until it is true again. */
  isAlive(): boolean;
}

/** What a Progress holds. */
export interface ProgressNews {
  percent: number | undefined;
  note: string;
}

interface Held extends LeaseName {
  news: ProgressNews | undefined;
}

const MAX_LEASES = 1_000;
/** News of progress goes ahead of the next heartbeat, but not more often than this. */
const NEWS_EVERY_MS = 1_000;
const DEFAULT_INTERVAL_MS = 10_000;
const MAX_TIMEOUT_MS = 10_000;
const NEVER = Number.POSITIVE_INFINITY;

export class Beats {
  readonly #options: BeatsOptions;
  readonly #held = new Map<string, Held>();
  #intervalMs = DEFAULT_INTERVAL_MS;
  #timer: NodeJS.Timeout | undefined;
  /** By performance.now(): of the next heartbeat for all, and of one for those alone that have news. */
  #allDue = NEVER;
  #newsDue = NEVER;
  #sentAt = 0;
  #isSending = false;
  #failed = false;
  /** After a failure: three more tries within the lease, or when the broker says. */
  #againMs = 0;

  constructor(options: BeatsOptions) {
    this.#options = options;
  }

  hold(leases: readonly LeaseName[]): void {
    if (leases.length === 0) return;
    for (const { jobId, leaseToken } of leases) this.#held.set(leaseToken, { jobId, leaseToken, news: undefined });
    if (this.#allDue === NEVER) this.#allDue = performance.now() + this.#intervalMs;
    this.#wait();
  }

  drop(leaseToken: string): void {
    this.#held.delete(leaseToken);
  }

  progress(leaseToken: string, news: ProgressNews): void {
    const held = this.#held.get(leaseToken);
    if (held === undefined) return;
    held.news = news;
    this.#newsDue = Math.max(performance.now(), this.#sentAt + NEWS_EVERY_MS);
    this.#wait();
  }

  /** How often: a third of the lease's ttl. */
  pace(intervalMs: number): void {
    this.#intervalMs = Math.max(1, intervalMs);
    if (this.#held.size > 0) this.#allDue = Math.min(this.#allDue, performance.now() + this.#intervalMs);
    this.#wait();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#held.clear();
  }

  #wait(): void {
    // What was asked for meanwhile is looked at when the answer is there.
    if (this.#isSending) return;
    clearTimeout(this.#timer);
    const dueAt = Math.min(this.#allDue, this.#newsDue);
    if (this.#held.size === 0 || dueAt === NEVER) return;
    this.#timer = setTimeout(() => void this.#beat(), Math.max(0, dueAt - performance.now()));
  }

  async #beat(): Promise<void> {
    const now = performance.now();
    const held = [...this.#held.values()];
    const leases = now >= this.#allDue - 1 ? held : held.filter(({ news }) => news !== undefined);
    this.#newsDue = NEVER;
    this.#sentAt = now;
    this.#isSending = true;
    if (leases.length > 0 && this.#options.isAlive()) await this.#sendAll(leases);
    this.#isSending = false;
    if (this.#failed) this.#allDue = performance.now() + this.#againMs;
    else if (leases === held) this.#allDue = this.#held.size === 0 ? NEVER : now + this.#intervalMs;
    this.#wait();
  }

  async #sendAll(leases: Held[]): Promise<void> {
    const timeoutMs = Math.min(MAX_TIMEOUT_MS, Math.max(100, this.#intervalMs));
    try {
      for (let at = 0; at < leases.length; at += MAX_LEASES) {
        await this.#send(leases.slice(at, at + MAX_LEASES), timeoutMs);
      }
      if (this.#failed) this.#options.trouble(undefined);
      this.#failed = false;
    } catch (error) {
      if (!this.#failed) this.#options.trouble(error);
      this.#failed = true;
      this.#againMs = Math.max(this.#intervalMs / 4, (error as { retryAfterMs?: number }).retryAfterMs ?? 0);
    }
  }

  async #send(leases: Held[], timeoutMs: number): Promise<void> {
    const sent = leases.map(({ news }) => news);
    const refs = leases.map(({ jobId, leaseToken, news }) => ({ jobId, leaseToken, progress: news }));
    const verdicts = await this.#options.send(refs, timeoutMs);
    const judged: Judged[] = [];
    for (const [index, lease] of leases.entries()) {
      if (lease.news === sent[index]) lease.news = undefined;
      const verdict = verdicts[index] ?? "UNKNOWN";
      if (verdict === "LOST") this.#held.delete(lease.leaseToken);
      if (verdict === "LOST" || verdict === "CANCEL") judged.push({ leaseToken: lease.leaseToken, verdict });
    }
    if (judged.length > 0) this.#options.judged(judged);
  }
}
