/** Deliveries of webhooks, counted: there from the first call of `webhooks()` on, so that no broker without any has them. */
import { Spread } from "./spread.ts";
import { Tally } from "./tally.ts";

/** delivered: answered with 2xx. failed: to be tried again. dead: given up, or the endpoint said that it is gone. */
export const DELIVERY_OUTCOMES = ["delivered", "failed", "dead"] as const;

export type DeliveryOutcome = (typeof DELIVERY_OUTCOMES)[number];

/** What the deliverer tells. No ids and no URLs: they would be a series each. */
export interface WebhookRecorder {
  /** One try, and how long the endpoint took. */
  tried(outcome: DeliveryOutcome, tookMs: number): void;
  /** From the event to the answer that delivered it. */
  delivered(ageMs: number): void;
}

export interface WebhookMetrics {
  tries: Tally<DeliveryOutcome>;
  /** In seconds. */
  took: Spread;
  age: Spread;
  record: WebhookRecorder;
}

const TOOK_S = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const AGE_S = [0.05, 0.1, 0.5, 1, 5, 30, 60, 300, 1_800, 7_200, 86_400];

export function createWebhookMetrics(): WebhookMetrics {
  const tries = new Tally<DeliveryOutcome>(DELIVERY_OUTCOMES);
  const took = new Spread(TOOK_S);
  const age = new Spread(AGE_S);
  return {
    tries,
    took,
    age,
    record: {
      tried(outcome, tookMs) {
        tries.add("", outcome);
        took.observe("", tookMs / 1_000);
      },
      delivered: (ageMs) => age.observe("", ageMs / 1_000),
    },
  };
}
