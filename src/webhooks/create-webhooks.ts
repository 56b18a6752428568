/** Everything of webhooks that a broker runs: the loops, the test call, the end. */
import { randomUUID } from "node:crypto";
import type { Logger } from "pino";
import type { Database } from "../store/db.ts";
import { forgetDeliveries } from "../store/deliveries.ts";
import { resetForeignPlaces } from "../store/fan-out.ts";
import { serverFacts } from "../store/server-facts.ts";
import { addHandler, type Endpoint, endpointAnswered } from "../store/webhooks.ts";
import { createDeliverer, type DeliveryRecorder } from "./deliverer.ts";
import type { EventHandler } from "./handlers.ts";
import { type Answer, createSend, type SendOptions, urlFault } from "./send.ts";
import { isSecret, newSecret } from "./sign.ts";

export interface WebhooksOptions {
  db: Database;
  identity: { version: string; instanceId: string };
  settings: {
    webhookTimeoutMs: number;
    webhookPollMs: number;
    webhookMaxResultBytes: number;
    webhookAllowPrivate: boolean;
    webhookAllowHttp: boolean;
  };
  /** Handlers within this process. */
  handlers: readonly EventHandler[];
  log: Logger;
  recorder: () => DeliveryRecorder;
}

/** What AdminService needs. */
export interface WebhookCalls {
  /** Why an address is not taken, in words that follow its name; undefined: it is. */
  urlFault(url: URL): string | undefined;
  /** whsec_…, new and at random. */
  newSecret(): string;
  isSecret(text: string): boolean;
  /** Sends a test event now; a good answer ends a pause that failures had brought. */
  test(endpoint: Endpoint): Promise<Answer & { eventId: string; tookMs: number }>;
}

export interface Webhooks extends WebhookCalls {
  /** Makes the handlers' rows: they are told what happens from then on. The loop does it, where it was not done. */
  ready(): Promise<void>;
  loops: {
    name: string;
    everyMs: number;
    once: () => Promise<boolean | undefined>;
    onStart?: (nudge: () => void) => void;
  }[];
  /** Something has happened that somebody may be to be told of. */
  nudge(): void;
  stop(graceMs: number): Promise<void>;
}

const FORGET_EVERY_MS = 60_000;
const FORGET_BATCH = 5_000;

export function createWebhooks(options: WebhooksOptions): Webhooks {
  const { db, identity, handlers, settings } = options;
  const sending: SendOptions = {
    timeoutMs: settings.webhookTimeoutMs,
    allowPrivate: settings.webhookAllowPrivate,
    allowHttp: settings.webhookAllowHttp,
    version: identity.version,
  };
  const send = createSend(sending);
  const deliverer = createDeliverer({
    ...{ sql: db.sql, brokerId: identity.instanceId, send, handlers },
    ...{ timeoutMs: sending.timeoutMs, maxResultBytes: settings.webhookMaxResultBytes },
    ...{ log: options.log, recorder: options.recorder },
  });
  let isReady = false;
  async function ready(): Promise<void> {
    if (!isReady) for (const { name, types, kinds } of handlers) await addHandler(db.sql, name, types, kinds);
    isReady = true;
  }
  let nudge: () => void = () => undefined;
  return {
    ready,
    loops: [
      {
        name: "webhooks",
        everyMs: settings.webhookPollMs,
        onStart(ofLoop) {
          nudge = ofLoop;
        },
        once: async () => {
          await ready();
          return await deliverer.once();
        },
      },
      {
        name: "forget-deliveries",
        everyMs: FORGET_EVERY_MS,
        once: async () => {
          const reset = await resetForeignPlaces(db.sql);
          if (reset > 0) options.log.warn({ reset }, "webhooks of a restored database begin with what happened here");
          return await forgetDeliveries(db.sql, FORGET_BATCH);
        },
      },
    ],
    nudge() {
      if (deliverer.isNeeded) nudge();
    },
    urlFault: (url) => urlFault(url, sending),
    newSecret,
    isSecret,
    async test(endpoint) {
      const eventId = `evt_test_${randomUUID().replaceAll("-", "")}`;
      const { now: at } = await serverFacts(db);
      const data = { event_id: eventId, webhook_id: endpoint.id };
      const body = JSON.stringify({ type: "webhook.test", timestamp: at.toISOString(), data });
      const since = performance.now();
      const answer = await send({ ...endpoint, id: eventId, at, body }, new AbortController().signal);
      const tookMs = performance.now() - since;
      if (answer.outcome === "delivered") await endpointAnswered(db.sql, endpoint.id);
      return { ...answer, eventId, tookMs };
    },
    stop: deliverer.stop,
  };
}
