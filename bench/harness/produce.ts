/** The load of a bench, a process of its own: dispatches jobs at a steady pace, whatever becomes of them. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Producer, payloadOf } from "../clients/client.ts";
import { type ClientName, loadClient } from "../clients/load-client.ts";
import { answerParent } from "./answer-parent.ts";
import { nowUs } from "./clock.ts";

export interface Opening {
  client: ClientName;
  target: object;
}

export interface Pace {
  perSecond: number;
  seconds: number;
}

export interface Produced {
  sent: number;
  /** For each job, how long the call took that dispatches it, in µs. */
  answeredUs: number[];
}

export interface Bulk {
  count: number;
  /** Jobs in a call, and calls at a time. */
  batch: number;
  lanes: number;
}

let producer: Producer | undefined;

answerParent(
  {
    async open({ client, target }: Opening) {
      producer = await (await loadClient(client)).openProducer(target);
    },
    run: (pace: Pace) => run(pace),
    bulk: (jobs: Bulk) => bulk(jobs),
  },
  async () => await producer?.close(),
);

/** An open loop: a slow answer does not hold back the next job. Resolves when all are answered. */
async function run({ perSecond, seconds }: Pace): Promise<Produced> {
  const count = Math.round(perSecond * seconds);
  const everyUs = 1e6 / perSecond;
  const startUs = nowUs();
  const answeredUs: number[] = [];
  const calls: Promise<void>[] = [];
  for (let at = 0; at < count; at++) {
    // Anywhere in its slot, so that no timer of anybody keeps step with the load.
    const dueUs = startUs + (at + Math.random()) * everyUs;
    const leftMs = (dueUs - nowUs()) / 1_000;
    if (leftMs > 0.5) await sleep(leftMs);
    calls.push(dispatch(answeredUs));
  }
  await Promise.all(calls);
  return { sent: count, answeredUs };
}

/** As many as can be, many in a call. Resolves when all are stored. */
async function bulk({ count, batch, lanes }: Bulk): Promise<{ tookUs: number }> {
  const beganUs = nowUs();
  let sent = 0;
  const lane = async () => {
    while (sent < count) {
      const size = Math.min(batch, count - sent);
      sent += size;
      await producer?.dispatchMany(Array.from({ length: size }, () => payloadOf(nowUs())));
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return { tookUs: nowUs() - beganUs };
}

async function dispatch(answeredUs: number[]): Promise<void> {
  const sentUs = nowUs();
  await producer?.dispatch(payloadOf(sentUs));
  answeredUs.push(nowUs() - sentUs);
}
