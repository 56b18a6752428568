/** Where each metric's samples come from. */
import type { Sessions } from "../dispatch/sessions.ts";
import type { CallMetrics } from "./call-metrics.ts";
import type { MetricName, WebhookMetricName } from "./catalog.ts";
import { type Families, one, type Sample, spreadSamples } from "./families.ts";
import type { MoveMetrics, Pool } from "./move-metrics.ts";
import { MOVES, OUTCOMES } from "./outcomes.ts";
import { byName, jobSamples, oldestSamples, type QueueNumbers } from "./queue-numbers.ts";
import type { TypeNames } from "./type-names.ts";
import type { WebhookMetrics } from "./webhook-metrics.ts";

export interface Sources {
  version: string;
  names: TypeNames;
  moves: MoveMetrics;
  calls: CallMetrics;
  poolSizes: Readonly<Record<Pool, number>>;
  streams: () => Pick<Sessions, "count" | "wanting" | "all">;
  /** Of the last look at the database; undefined before it. */
  isUp: () => boolean | undefined;
  /** As the scrape found it. */
  queue: () => QueueNumbers | undefined;
}

/** All but those of webhooks. */
export function familiesOf(sources: Sources): Families<MetricName> {
  return { ...brokerFamilies(sources), ...moveFamilies(sources.moves), ...callFamilies(sources.calls) };
}

type OfMoves =
  | "aibroker_moves_total"
  | "aibroker_reclaims_total"
  | "aibroker_lease_losses_total"
  | "aibroker_assign_seconds"
  | "aibroker_done_seconds"
  | "aibroker_statement_seconds"
  | "aibroker_batch_size"
  | "aibroker_statements_in_flight";
type OfCalls = "aibroker_calls_total" | "aibroker_errors_total";

function brokerFamilies(sources: Sources): Families<Exclude<MetricName, OfMoves | OfCalls>> {
  const sums = () => byName(sources.queue()?.types ?? [], sources.names);
  return {
    aibroker_build_info: () => [{ labels: { version: sources.version, node: process.version }, value: 1 }],
    aibroker_database_up() {
      const isUp = sources.isUp();
      return one(isUp === undefined ? undefined : Number(isUp));
    },
    aibroker_jobs: () => jobSamples(sums()),
    aibroker_oldest_pending_age_seconds: () => oldestSamples(sums()),
    aibroker_oldest_xmin_age_seconds: () => one(sources.queue()?.xminSeconds),
    aibroker_pool_size: () => byPool(sources.poolSizes),
    aibroker_streams_open: () => one(sources.streams().count),
    aibroker_seats: () => {
      const sessions = sources.streams();
      const used = sessions.all().reduce((sum, { load }) => sum + load, 0);
      return [
        { labels: { state: "used" }, value: used },
        { labels: { state: "free" }, value: sessions.wanting },
      ];
    },
  };
}

function moveFamilies(moves: MoveMetrics): Families<OfMoves> {
  const { tallies } = moves;
  return {
    *aibroker_moves_total() {
      for (const move of MOVES) {
        for (const { name: type, outcome, count } of tallies[move]) {
          yield { labels: { move, outcome, type }, value: count };
        }
      }
    },
    aibroker_reclaims_total: () =>
      one(OUTCOMES.reclaim.reduce((sum, outcome) => sum + tallies.reclaim.total(outcome), 0)),
    aibroker_lease_losses_total: () => [
      { labels: { seen_by: "report" }, value: tallies.report.total("lease_lost") },
      { labels: { seen_by: "heartbeat" }, value: tallies.heartbeat.total("lost") },
    ],
    aibroker_assign_seconds: () => spreadSamples("aibroker_assign_seconds", "type", moves.assign),
    aibroker_done_seconds: () => spreadSamples("aibroker_done_seconds", "type", moves.done),
    aibroker_statement_seconds: () => spreadSamples("aibroker_statement_seconds", "move", moves.statements),
    aibroker_batch_size: () => spreadSamples("aibroker_batch_size", "move", moves.batches),
    aibroker_statements_in_flight: () => byPool(moves.inFlight),
  };
}

function callFamilies({ calls, errors }: CallMetrics): Families<OfCalls> {
  return {
    *aibroker_calls_total() {
      for (const { name: method, count } of calls) yield { labels: { method }, value: count };
    },
    *aibroker_errors_total() {
      for (const { name: method, outcome: reason, count } of errors) yield { labels: { method, reason }, value: count };
    },
  };
}

/** Those of a broker that delivers webhooks. */
export function webhookFamilies({ tries, took, age }: WebhookMetrics): Families<WebhookMetricName> {
  return {
    aibroker_webhook_tries_total: () =>
      tries.outcomes.map((outcome) => ({ labels: { outcome }, value: tries.total(outcome) })),
    aibroker_webhook_try_seconds: () => spreadSamples("aibroker_webhook_try_seconds", undefined, took),
    aibroker_webhook_age_seconds: () => spreadSamples("aibroker_webhook_age_seconds", undefined, age),
  };
}

function byPool(numbers: Readonly<Record<Pool, number>>): Sample[] {
  return (["main", "reserved"] as const).map((pool) => ({ labels: { pool }, value: numbers[pool] }));
}
