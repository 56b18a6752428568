/** The moves as one broker makes them: the store's statement, then who is woken and what is logged. */
import type { Logger } from "pino";
import { ALL_KINDS, type KeptKinds } from "../job/events.ts";
import type { Backoff } from "../job/retry.ts";
import { mayHaveHappened } from "../store/database-errors.ts";
import type { Database } from "../store/db.ts";
import { heartbeat } from "../store/heartbeat.ts";
import { jobStatus } from "../store/job-status.ts";
import type { LaneStarts } from "../store/lane-starts.ts";
import { legacyReport } from "../store/legacy-report.ts";
import { countPending } from "../store/pending.ts";
import { reclaim } from "../store/reclaim.ts";
import { release } from "../store/release.ts";
import { report } from "../store/report.ts";
import type * as rows from "../store/rows.ts";
import type { Bell } from "./bell.ts";
import { createClaims } from "./claims.ts";
import { createCoalescer } from "./coalescer.ts";
import { createDispatchGatherer } from "./dispatch-gatherer.ts";
import { createHandOff, leasesOf } from "./hand-off.ts";
import type { LeaseNews } from "./lease-news.ts";
import type { Moves } from "./moves.ts";
import { operatorMoves, wake } from "./operator-moves.ts";
import { createQueueLimit } from "./queue-limit.ts";
import { NO_RECORDER, type Recorder } from "./recorder.ts";
import { recordedBy, runStatement } from "./statement.ts";
import { trace, traceAll, traceClaimed } from "./trace.ts";
import type { Waiters } from "./waiters.ts";

export interface MovesOptions {
  db: Database;
  waiters: Waiters;
  bell: Pick<Bell, "ring">;
  /** Told of leases that end or are to end, for the streams. */
  news: LeaseNews;
  log: Logger;
  leaseMs: number;
  /** Of legacy workers' leases. */
  shimLeaseMs: number;
  backoff: Backoff;
  maxDeliveries: number;
  cancelGraceMs: number;
  /** Payload bytes in one claim's answer. */
  maxAnswerBytes: number;
  /** Events that are written; absent: all. */
  keptKinds?: KeptKinds;
  /** Told of all moves; absent: nobody counts. */
  record?: Recorder;
  /** For claims; absent: always from the front of each lane. */
  starts?: LaneStarts;
  /** Jobs that may wait before dispatches are refused; 0: no limit. */
  maxPending: number;
}

/** Leases that one reclaim takes back at most. */
const RECLAIM_BATCH = 500;
const HEARTBEAT_BATCH = 5_000;
/** Reports that go into one statement; a large result counts for several. */
const REPORT_BATCH = 1_000;
const REPORT_UNIT_BYTES = 16_384;

export interface BrokerMoves extends Moves {
  /** Takes back what has expired, one batch; full: there may be more. */
  reclaim(): Promise<{ full: boolean }>;
  /** Leases were taken back by another statement: their log lines, and whoever is to hear of it. */
  reclaimed(taken: rows.Reclaimed[]): void;
  /** A release of leases whose worker never saw them; those that it has named since in a heartbeat stay its own. */
  giveBack(workerId: string, leases: rows.LeaseRef[], reason: string): Promise<rows.Released[]>;
}

export function createMoves(options: MovesOptions): BrokerMoves {
  return { ...producerMoves(options), ...leaseMoves(options), ...endingMoves(options), ...operatorMoves(options) };
}

function producerMoves(options: MovesOptions): Pick<Moves, "dispatch"> {
  const { db, waiters, bell, log, record = NO_RECORDER } = options;
  const run = recordedBy(record);
  const queue = createQueueLimit(options.maxPending, (limit) => runStatement(() => countPending(db.sql, limit)));
  const store = createDispatchGatherer(createHandOff({ ...options, sql: db.sql, run }));

  function announce(jobs: rows.NewJob[], stored: rows.Dispatched[]): void {
    const waiting = jobs.filter((_, i) => stored[i]?.created && stored[i].lease === undefined);
    const dueNow = new Map<string, number>();
    let later = false;
    for (const { type, runAt } of waiting) {
      // This broker's clock, since it only decides who is woken early: a look at the queue finds the rest.
      if (runAt === null || runAt.getTime() <= Date.now()) dueNow.set(type, (dueNow.get(type) ?? 0) + 1);
      else later = true;
    }
    for (const [type, count] of dueNow) waiters.arrived(type, count);
    // A later run_at may be nearer than the next look.
    if (later) waiters.lookNow();
    if (waiting.length > 0) bell.ring();
  }

  function write(jobs: rows.NewJob[], stored: rows.Dispatched[]): void {
    const created = jobs.filter((_, i) => stored[i]?.created);
    const change = { to: "PENDING" as const, attempt: 0, durationMs: null };
    traceAll(
      log,
      "dispatch",
      created.map(({ id: jobId, type }) => ({ ...change, jobId, type })),
    );
    traceClaimed(log, leasesOf(stored));
  }

  return {
    async dispatch(jobs) {
      await queue.admit(jobs.length);
      const since = performance.now();
      const stored = await store(jobs);
      announce(jobs, stored);
      record.dispatched(jobs, stored);
      record.claimed(leasesOf(stored), [], performance.now() - since);
      write(jobs, stored);
      return stored;
    },
  };
}

type LeaseMove = "claim" | "heartbeat" | "release" | "giveBack" | "reclaim" | "reclaimed" | "legacyNext";

/** How a lease begins, is kept, and goes back. */
function leaseMoves(options: MovesOptions): Pick<BrokerMoves, LeaseMove> {
  const { db, log, news, record = NO_RECORDER } = options;
  const run = recordedBy(record);
  const beats = createCoalescer<rows.Beat, rows.Renewal>((items) => {
    record.gathered("heartbeat", items.length);
    return run("heartbeat", () => heartbeat(db.reserved, items, options.leaseMs));
  }, HEARTBEAT_BATCH);
  const kept = options.keptKinds ?? ALL_KINDS;
  const claims = createClaims({ ...options, sql: db.sql, release: giveUp });

  const sweep = shared(takeBack);

  async function giveUp(
    workerId: string,
    leases: rows.LeaseRef[],
    reason: string,
    unseenOnly = false,
  ): Promise<rows.Released[]> {
    const released = await run("release", () => release(db.reserved, leases, options.maxDeliveries, unseenOnly, kept));
    record.released(leases, released);
    traceAll(log, "release", released, () => ({ worker: workerId, why: reason }));
    released.forEach((r, at) => {
      // One that its worker has named since stays on its stream.
      if (r.released || !unseenOnly) news.settled(leases[at] as rows.LeaseRef, r.instanceId);
    });
    wake(options, released);
    return released;
  }

  async function takeBack(): Promise<{ full: boolean }> {
    const taken = await run("reclaim", () => reclaim(db.sql, RECLAIM_BATCH, kept));
    reclaimed(taken);
    return { full: taken.length === RECLAIM_BATCH };
  }

  function reclaimed(taken: rows.Reclaimed[]): void {
    record.reclaimed(taken);
    traceAll(log, "reclaim", taken, (r) => ({ worker: r.workerId }));
    for (const r of taken) {
      news.lost(r.token, r.instanceId);
    }
    wake(options, taken);
  }

  return {
    claim: claims.wait,
    release: giveUp,
    giveBack: (workerId, leases, reason) => giveUp(workerId, leases, reason, true),
    reclaim: takeBack,
    reclaimed,
    async heartbeat(_workerId, items) {
      const renewals = await beats.add(items);
      record.renewed(renewals);
      renewals.forEach(({ verdict }, at) => {
        // The answer says so: nothing is pushed.
        if (verdict === "LOST") news.settled(items[at] as rows.LeaseRef, null);
      });
      return renewals;
    },
    async legacyNext(workerId) {
      // As Django's: what has expired may be the job that is asked for.
      await sweep();
      const [lease] = await claims.now({ workerId, types: [], maxJobs: 1, requestId: null }, options.shimLeaseMs);
      return lease ?? null;
    },
  };
}

/** Whoever asks while one runs shares the next one: it begins after all of them have asked. */
function shared(run: () => Promise<unknown>): () => Promise<unknown> {
  const runs = createCoalescer<null, null>(async (asked) => {
    await run();
    return asked;
  }, Number.POSITIVE_INFINITY);
  return () => runs.add([null]);
}

/** How an attempt ends by its worker. */
function endingMoves(options: MovesOptions): Pick<BrokerMoves, "report" | "legacyReport" | "legacyStatus"> {
  const { db, waiters, log, news, record = NO_RECORDER } = options;
  const run = recordedBy(record);
  const reports = createCoalescer<rows.Report, rows.Reported>(
    (items) => {
      record.gathered("report", items.length);
      return run("report", () => report(db.reserved, items, options.backoff, options.keptKinds));
    },
    REPORT_BATCH,
    {
      weigh: ({ result }) => 1 + (result?.length ?? 0) / REPORT_UNIT_BYTES,
      // A report whose answer was lost would be told DUPLICATE by its own repetition, and LEASE_LOST if it was retried.
      again: (err) => !mayHaveHappened(err),
    },
  );
  return {
    async report(workerId, items) {
      const since = performance.now();
      const settled = await reports.add(items);
      record.reported(items, settled, performance.now() - since);
      traceAll(log, "report", settled, () => ({ worker: workerId }));
      settled.forEach((s, at) => {
        // Whatever the verdict, the lease is no longer held.
        news.settled(items[at] as rows.LeaseRef, s.instanceId);
      });
      // A retry is due only after its backoff: the look finds it then.
      if (settled.some((s) => s.to === "PENDING")) waiters.lookNow();
      return settled;
    },
    async legacyReport(item) {
      const settled = await run("report", () => legacyReport(db.reserved, item, options.backoff, options.keptKinds));
      record.legacyReported(settled);
      trace(log, "report", { ...settled, jobId: item.jobId }, { worker: item.workerId, legacy: true });
      // Its holder on a stream, if there is one, need not go on.
      if (settled.to !== null) news.lost(settled.token, settled.instanceId);
      if (settled.to === "PENDING") waiters.lookNow();
      return settled.verdict;
    },
    legacyStatus: (jobId) => runStatement(() => jobStatus(db.reserved, jobId)),
  };
}
