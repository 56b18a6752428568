/**
 * An endpoint of webhooks, which fails in each way that endpoints fail. What it took is written down before it answers,
 * as a receiver would in its own transaction; what it did not take has to come again.
 */
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { Webhook } from "standardwebhooks";
import { answerParent, settingsOf } from "./settings.ts";
import { recorder } from "./tap.ts";

export interface ReceiverSettings {
  /** Of the signatures. */
  secret: string;
  /** How long a late answer takes: longer than a broker waits. */
  lateMs: number;
}

const { secret, lateMs } = settingsOf<ReceiverSettings>();
const webhook = new Webhook(secret);
let strangers = 0;

type Answer = (response: ServerResponse, take: () => void) => void;

const MANNERS = {
  good(response, take) {
    take();
    response.writeHead(204).end();
  },
  fails: (response) => void response.writeHead(500).end(),
  "is-busy": (response) => void response.writeHead(429, { "retry-after": "1" }).end(),
  hangs: () => undefined,
  resets: (response) => void response.socket?.resetAndDestroy(),
  "is-late"(response, take) {
    take();
    setTimeout(() => response.destroyed || response.writeHead(200).end(), lateMs);
  },
} satisfies Record<string, Answer>;

export type Manner = keyof typeof MANNERS;

let answer: Answer = MANNERS.good;

interface Told {
  data: { job_id: string; seq: number; kind: string; attempt: number };
}

const server = createServer(async (request, response) => {
  const body = await text(request).catch(() => undefined);
  // Whoever sent it has died meanwhile.
  if (body === undefined) return;
  try {
    const headers = request.headers as Record<string, string>;
    const { job_id: job, seq, kind: status, attempt } = (webhook.verify(body, headers) as Told).data;
    answer(response, () => recorder.told("event", { items: [{ job, status, seq, attempt }] }));
  } catch {
    strangers += 1;
    response.writeHead(400).end();
  }
}).listen(0, "127.0.0.1");
const listening = once(server, "listening");

answerParent({
  /** Where it listens, once it does. */
  port: () => listening.then(() => (server.address() as AddressInfo).port),
  /** Requests whose signature or body was not as it should be. */
  strangers: () => strangers,
  ...Object.fromEntries(
    Object.entries(MANNERS).map(([name, manner]) => [
      name,
      () => {
        answer = manner;
      },
    ]),
  ),
});
