/**
 * Sends what is due. Each webhook has a few deliveries under way at a time and all together are bounded; when half of the
 * bound is taken, each gets one, so there is a place for every webhook however slow the others are. An endpoint that
 * fails again and again is left alone for a while (the circuit), which costs its events no tries.
 */
import type { Logger } from "pino";
import { CIRCUIT_FAILURES, circuitPauseMs, deliveryDelayMs } from "../job/delivery.ts";
import type { Sql } from "../store/db.ts";
import { claimDeliveries, type Delivery, giveBack, recordDelivered, recordFailed } from "../store/deliveries.ts";
import { resultOfEvent } from "../store/delivery-result.ts";
import { type FannedOut, fanOut } from "../store/fan-out.ts";
import { disableWebhook, endpointAnswered, endpointFailed, handlerId, MAX_WEBHOOKS } from "../store/webhooks.ts";
import { type EventHandler, runHandler } from "./handlers.ts";
import { bodyOf, idOf, isEnd } from "./payload.ts";
import type { Answer, Send } from "./send.ts";

/** Told of each try. */
export interface DeliveryRecorder {
  tried(outcome: "delivered" | "failed" | "dead", tookMs: number): void;
  delivered(ageMs: number): void;
}

export interface DelivererOptions {
  sql: Sql;
  brokerId: string;
  send: Send;
  handlers: readonly EventHandler[];
  /** The longest that a try may take. */
  timeoutMs: number;
  maxResultBytes: number;
  log: Logger;
  /** Asked for at the first try. */
  recorder: () => DeliveryRecorder;
}

export interface Deliverer {
  /** Whether anybody is to be told of events, as of the last look. */
  readonly isNeeded: boolean;
  /** One look: what has happened becomes deliveries, what is due is sent. True: there is more to do at once. */
  once(): Promise<boolean>;
  /** Takes nothing more; what is under way may end within so long, then it is given back. */
  stop(graceMs: number): Promise<void>;
}

/** Deliveries of one webhook at a time, by one broker. */
const EACH = 8;
/** Past these under way, each webhook gets one at a time; one for every webhook fits on top. */
const MANY = MAX_WEBHOOKS;
/** Beyond the longest try: a broker that has died is waited for so long. */
const LEASE_SLACK_MS = 30_000;

export function createDeliverer(options: DelivererOptions): Deliverer {
  const { sql, brokerId, handlers, log } = options;
  const byId = new Map(handlers.map((handler) => [handlerId(handler.name), handler]));
  const handlerIds = [...byId.keys()];
  const fan = createFan(sql, handlerIds);
  const leaseMs = Math.max(options.timeoutMs, ...handlers.map(({ timeoutMs }) => timeoutMs)) + LEASE_SLACK_MS;
  const busy = new Map<string, number>();
  const flights = new Set<Promise<void>>();
  const abort = new AbortController();
  let isStopping = false;
  let isNeeded = false;
  const pump = oneAtATime(take);

  async function take(): Promise<void> {
    if (isStopping) return;
    const claimed = await claimDeliveries(sql, {
      ...{ brokerId, leaseMs, slackMs: LEASE_SLACK_MS, busy, circuitFailures: CIRCUIT_FAILURES, handlers: handlerIds },
      most: flights.size < MANY ? EACH : 1,
    });
    for (const delivery of claimed) start(delivery);
  }

  function start(delivery: Delivery): void {
    const id = delivery.webhookId;
    count(busy, id, 1);
    const onError = (err: unknown) => log.warn({ err }, "a delivery's outcome was not written down; it comes again");
    const flight = attempt(delivery, options, byId.get(id), abort.signal)
      .catch(onError)
      .then(() => {
        flights.delete(flight);
        count(busy, id, -1);
        if (isStopping) return;
        // The job's next event, or the webhook's next one, may be due.
        pump().catch((err: unknown) => log.warn({ err }, "deliveries could not be claimed; they are looked for again"));
      });
    flights.add(flight);
  }

  return {
    get isNeeded() {
      return isNeeded;
    },
    async once() {
      if (isStopping) return false;
      const { told, more } = await fan();
      isNeeded = told > 0;
      if (isNeeded) await pump();
      return more;
    },
    async stop(graceMs) {
      isStopping = true;
      const timer = setTimeout(() => abort.abort(), graceMs);
      await pump().catch(() => undefined);
      await Promise.all(flights);
      clearTimeout(timer);
    },
  };
}

/** Where nothing was found, an open transaction may hold something back: then it is looked at whose that is. */
function createFan(sql: Sql, handlers: string[]): () => Promise<FannedOut> {
  let isIdle = false;
  return async () => {
    const fanned = await fanOut(sql, handlers, undefined, isIdle ? "database" : "quick");
    isIdle = fanned.told > 0 && fanned.made === 0 && !fanned.more;
    return fanned;
  };
}

/** Runs one at a time; a run that is asked for meanwhile follows. */
function oneAtATime(run: () => Promise<void>): () => Promise<void> {
  let isWanted = false;
  let underWay: Promise<void> | undefined;
  return () => {
    isWanted = true;
    underWay ??= (async () => {
      try {
        while (isWanted) {
          isWanted = false;
          await run();
        }
      } finally {
        // At once, so that no wish comes between the last look at isWanted and the end.
        underWay = undefined;
      }
    })();
    return underWay;
  };
}

function count(busy: Map<string, number>, id: string, change: 1 | -1): void {
  const now = (busy.get(id) ?? 0) + change;
  if (now > 0) busy.set(id, now);
  else busy.delete(id);
}

/** Sends one delivery and writes down what became of it. */
async function attempt(
  delivery: Delivery,
  options: DelivererOptions,
  handler: EventHandler | undefined,
  signal: AbortSignal,
): Promise<void> {
  const { sql, send, maxResultBytes } = options;
  const result = isEnd(delivery.kind) ? await resultOfEvent(sql, delivery.jobId, delivery.seq, maxResultBytes) : null;
  const since = performance.now();
  const { url, secret } = delivery;
  let answer: Answer;
  if (handler !== undefined) answer = await runHandler(handler, delivery, result, signal);
  else if (url === null || secret === null) answer = { outcome: "stopped", status: null, error: "" };
  else {
    const message = { url, secret, id: idOf(delivery), at: delivery.claimedAt, body: bodyOf(delivery, result) };
    answer = await send(message, signal);
  }
  if (answer.outcome === "stopped") return await giveBack(sql, delivery);
  await record(delivery, answer, options, performance.now() - since);
}

async function record(delivery: Delivery, answer: Answer, options: DelivererOptions, tookMs: number): Promise<void> {
  const { sql, log, recorder } = options;
  const { webhookId, tries } = delivery;
  if (answer.outcome === "delivered") {
    await recordDelivered(sql, delivery);
    await endpointAnswered(sql, webhookId);
    recorder().tried("delivered", tookMs);
    recorder().delivered(delivery.claimedAt.getTime() - delivery.at.getTime() + tookMs);
    return;
  }
  const { status, error } = answer;
  const isGone = answer.outcome === "gone";
  if (isGone) {
    await disableWebhook(sql, webhookId, error);
    log.warn({ webhook: webhookId }, "the webhook's endpoint answered 410 (gone): it gets no more events");
  }
  const written = await recordFailed(sql, delivery, { status, error, delayMs: deliveryDelayMs(tries) });
  const isDead = isGone || (written !== false && written.dead);
  recorder().tried(isDead ? "dead" : "failed", tookMs);
  // A handler has no circuit: what it throws is about the event.
  const pauseMs = delivery.url === null ? () => 0 : circuitPauseMs;
  const failures = await endpointFailed(sql, { webhookId, status, error, pauseMs });
  const about = { webhook: webhookId, event: idOf(delivery), job: delivery.jobId, tries, error };
  if (isDead && !isGone) {
    log.warn(about, "an event could not be delivered and is given up; `webhooks redeliver` sends it again");
  } else if (failures === 1 || failures === CIRCUIT_FAILURES) {
    log.warn(
      about,
      failures === 1
        ? "an event was not delivered; it is tried again"
        : "the webhook fails again and again: it is asked less often",
    );
  } else log.debug(about, "an event was not delivered; it is tried again");
}
