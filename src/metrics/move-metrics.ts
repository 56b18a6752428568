/** What the moves do, counted: this is on the way of every job, so it only adds up; the registry reads it at a scrape. */
import type { Move, Recorder } from "../dispatch/recorder.ts";
import type { Age, Lease, Trace } from "../store/rows.ts";
import {
  endOf,
  HEARTBEATS,
  legacyOutcome,
  lower,
  MOVES,
  OUTCOMES,
  type Outcome,
  reclaimOutcome,
  releaseOutcome,
  reportOutcome,
} from "./outcomes.ts";
import { Spread } from "./spread.ts";
import { Tally } from "./tally.ts";
import type { TypeNames } from "./type-names.ts";

export interface MoveMetrics {
  /** By job type. */
  tallies: { readonly [M in Move]: Tally<Outcome<M>> };
  /** In seconds, by job type. */
  assign: Spread;
  done: Spread;
  /** In seconds, by move. */
  statements: Spread;
  /** Items, by move. */
  batches: Spread;
  /** Statements under way, by the pool that they go by. */
  inFlight: Record<Pool, number>;
  record: Recorder;
}

/** The database's pools: the second is for what a storm of claims must not starve. */
export type Pool = "main" | "reserved";

const RESERVED: ReadonlySet<Move> = new Set(["heartbeat", "report", "release"]);

const WAIT_S = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200];
const LIFE_S = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3_600, 14_400];
const STATEMENT_S = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
const BATCH = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000];

export function createMoveMetrics(names: TypeNames): MoveMetrics {
  const tallies = Object.fromEntries(MOVES.map((move) => [move, new Tally<string>(OUTCOMES[move])]));
  const kept = {
    tallies: tallies as unknown as MoveMetrics["tallies"],
    assign: new Spread(WAIT_S),
    done: new Spread(LIFE_S),
    statements: new Spread(STATEMENT_S),
    batches: new Spread(BATCH),
    inFlight: { main: 0, reserved: 0 },
  };
  return { ...kept, record: { ...recordStatements(kept), ...recordJobs(kept, names) } };
}

type Kept = Omit<MoveMetrics, "record">;
type OfStatements = "began" | "ended" | "gathered";

function recordStatements({ statements, batches, inFlight }: Kept): Pick<Recorder, OfStatements> {
  const poolOf = (move: Move): Pool => (RESERVED.has(move) ? "reserved" : "main");
  return {
    began(move) {
      inFlight[poolOf(move)]++;
    },
    ended(move, tookMs) {
      inFlight[poolOf(move)]--;
      statements.observe(move, tookMs / 1_000);
    },
    gathered: (move, items) => batches.observe(move, items),
  };
}

function recordJobs({ tallies, assign, done, batches }: Kept, names: TypeNames): Omit<Recorder, OfStatements> {
  function ended({ type, ageMs }: Trace & Age, outcome: Outcome<"report">) {
    const name = names.of(type);
    tallies.report.add(name, outcome);
    if (outcome === "done" && ageMs !== null) done.observe(name, ageMs / 1_000);
  }

  return {
    dispatched(jobs, stored) {
      batches.observe("dispatch", jobs.length);
      jobs.forEach(({ type }, at) => {
        tallies.dispatch.add(names.of(type), stored[at]?.created ? "dispatched" : "known");
      });
    },
    claimed(leases, ends) {
      // Most claims of a waiting worker find nothing.
      if (leases.length > 0) batches.observe("claim", leases.length);
      for (const lease of leases) {
        const name = names.of(lease.type);
        tallies.claim.add(name, "claimed");
        assign.observe(name, waitOf(lease) / 1_000);
      }
      for (const { type, to } of ends) tallies.claim.add(names.of(type), endOf(to));
    },
    renewed(renewals) {
      for (const { type, verdict } of renewals) tallies.heartbeat.add(names.of(type), HEARTBEATS[verdict]);
    },
    reported(_reports, settled) {
      for (const one of settled) ended(one, reportOutcome(one));
    },
    legacyReported: (one) => ended(one, legacyOutcome(one)),
    released(_leases, released) {
      for (const one of released) tallies.release.add(names.of(one.type), releaseOutcome(one));
    },
    reclaimed(taken) {
      for (const one of taken) tallies.reclaim.add(names.of(one.type), reclaimOutcome(one));
    },
    cancelled(cancelled) {
      for (const { type, outcome } of cancelled) tallies.cancel.add(names.of(type), lower(outcome));
    },
    retried(retried) {
      for (const { type, outcome } of retried) tallies.retry.add(names.of(type), lower(outcome));
    },
  };
}

/** How long a due job waited for this lease, by the database's clock alone: a lease begins leaseMs before its end. */
function waitOf({ expiresAt, leaseMs, createdAt, runAt }: Lease): number {
  return expiresAt.getTime() - leaseMs - Math.max(createdAt.getTime(), runAt.getTime());
}
