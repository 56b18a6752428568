/** Times the claim of the broker itself, and puts back what it took. */
import { randomUUID } from "node:crypto";
import { type ClaimOptions, claim, claimStatement } from "../src/store/claim.ts";
import type { Sql } from "../src/store/db.ts";
import { requeue } from "./backlog.ts";
import { planOf, rolledBack } from "./plan.ts";

export interface Figures {
  name: string;
  limit: number;
  /** Jobs that each claim got. */
  jobs: number;
  /** The statement, as the broker waits for it, without the commit; in ms. */
  statement: Spread;
  /** The same with the commit on disk. */
  committed: Spread;
  /** Pages touched. */
  buffers: number;
}

export interface Spread {
  median: number;
  p10: number;
  p90: number;
}

const WORKER = "bench";
const MAX_REPEAT_MS = 20_000;

export interface Measurement {
  name: string;
  types: string[];
  limit: number;
  /** Timed claims. */
  runs: number;
}

/** One claim, so that its plan is made now and not later. */
export async function meet(sql: Sql, types: string[]): Promise<void> {
  await claim(sql, optionsOf(types, 1));
}

/** Claims `runs` times twice over, rolled back and committed, and leaves the backlog as it was. */
export async function measure(sql: Sql, { name, types, limit, runs }: Measurement): Promise<Figures> {
  let jobs = 0;
  const timed = async (): Promise<number> => {
    const startedAt = performance.now();
    const { leases } = await claim(sql, optionsOf(types, limit));
    const ms = performance.now() - startedAt;
    jobs = leases.length;
    return ms;
  };
  const committedOnce = async (): Promise<number> => {
    const ms = await timed();
    await requeue(sql, WORKER);
    return ms;
  };
  // The first ones pay for what the fill left behind.
  await repeat(Math.max(20, Math.ceil(runs / 5)), committedOnce);
  const statement = spread(await repeat(runs, () => rolledBack(sql, timed)));
  const committed = spread(await repeat(runs, committedOnce));
  const { buffers } = await planOf(sql, () => claimStatement(sql, optionsOf(types, limit)));
  return { name, limit, jobs, statement, committed, buffers };
}

function optionsOf(types: string[], limit: number): ClaimOptions {
  return {
    workerId: WORKER,
    types,
    limit,
    leaseMs: 120_000,
    maxBytes: 3 * 1_024 * 1_024,
    token: randomUUID(),
    requestId: null,
  };
}

/** Ends early after 20 s: a claim that slow needs no more runs to show it. */
async function repeat(times: number, once: () => Promise<number>): Promise<number[]> {
  const results: number[] = [];
  const endAt = performance.now() + MAX_REPEAT_MS;
  for (let i = 0; i < times && performance.now() < endAt; i++) results.push(await once());
  return results;
}

function spread(samples: number[]): Spread {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { median: at(0.5), p10: at(0.1), p90: at(0.9) };
}
