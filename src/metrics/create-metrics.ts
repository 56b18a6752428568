/** The metrics of one broker: what it is told, and the page that it shows. */
import type { Recorder } from "../dispatch/recorder.ts";
import type { Reason } from "../errors.ts";
import type { Database } from "../store/db.ts";
import { type CallMetrics, createCallMetrics } from "./call-metrics.ts";
import { CATALOG, type MetricName, WEBHOOK_CATALOG } from "./catalog.ts";
import { type Families, register } from "./families.ts";
import { createMoveMetrics } from "./move-metrics.ts";
import { processMetrics } from "./process-metrics.ts";
import { type QueueNumbers, readQueue } from "./queue-numbers.ts";
import { createQueueReading } from "./queue-reading.ts";
import { familiesOf, type Sources, webhookFamilies } from "./sources.ts";
import { TypeNames } from "./type-names.ts";
import { createWebhookMetrics, type WebhookMetrics, type WebhookRecorder } from "./webhook-metrics.ts";

export interface MetricsOptions extends Pick<Sources, "version" | "poolSizes" | "streams"> {
  db: Database;
  /** Every reason that an error may have. */
  reasons: readonly Reason[];
}

export interface Page {
  contentType: string;
  text: string;
}

export interface Metrics {
  /** For the moves. */
  record: Recorder;
  /** For the edges. */
  calls: Pick<CallMetrics, "ended" | "failed">;
  /** After each look at the database. */
  databaseUp(up: boolean): void;
  /** For whoever delivers webhooks; their metrics are on the page from then on. */
  webhooks(): WebhookRecorder;
  /** The page as it is now; callers at the same time share one. */
  scrape(): Promise<Page>;
}

export function createMetrics(options: MetricsOptions): Metrics {
  const names = new TypeNames();
  const moves = createMoveMetrics(names);
  const calls = createCallMetrics(options.reasons);
  const reading = createQueueReading({ read: () => readQueue(options.db) });
  let isUp: boolean | undefined;
  let queue: QueueNumbers | undefined;
  let webhooks: WebhookMetrics | undefined;
  let writer: Promise<() => Promise<Page>> | undefined;
  let underWay: Promise<Page> | undefined;
  const families = familiesOf({ ...options, names, moves, calls, isUp: () => isUp, queue: () => queue });

  async function page(): Promise<Page> {
    queue = await reading.latest();
    writer ??= createWriter(families, () => webhooks);
    return await (await writer)();
  }

  return {
    record: moves.record,
    calls,
    databaseUp(up) {
      isUp = up;
    },
    webhooks() {
      webhooks ??= createWebhookMetrics();
      return webhooks.record;
    },
    scrape() {
      underWay ??= page().finally(() => {
        underWay = undefined;
      });
      return underWay;
    },
  };
}

/** prom-client is loaded by the first scrape: a broker that nobody watches starts without it. */
async function createWriter(
  families: Families<MetricName>,
  webhooks: () => WebhookMetrics | undefined,
): Promise<() => Promise<Page>> {
  const client = await import("prom-client");
  const own = new client.Registry();
  register(own, CATALOG, families);
  const process = processMetrics(client);
  let hasWebhooks = false;
  return async () => {
    const delivering = webhooks();
    if (delivering !== undefined && !hasWebhooks) {
      register(own, WEBHOOK_CATALOG, webhookFamilies(delivering));
      hasWebhooks = true;
    }
    return { contentType: own.contentType, text: `${await own.metrics()}\n${await process.metrics()}` };
  };
}
