/** Receivers of webhooks: real HTTP servers that do as the test says; and short words for webhooks and deliverers. */
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import pino from "pino";
import type { EventKind } from "../../src/job/events.ts";
import type { Database } from "../../src/store/db.ts";
import { type ClaimDeliveriesOptions, claimDeliveries, type Delivery } from "../../src/store/deliveries.ts";
import { boundOf } from "../../src/store/events.ts";
import { fanOut } from "../../src/store/fan-out.ts";
import type { NewJob } from "../../src/store/rows.ts";
import { brokerSeen } from "../../src/store/sessions.ts";
import { addWebhook, type NewWebhook } from "../../src/store/webhooks.ts";
import { createDeliverer, type Deliverer, type DelivererOptions } from "../../src/webhooks/deliverer.ts";
import { createSend, type SendOptions } from "../../src/webhooks/send.ts";
import { newSecret } from "../../src/webhooks/sign.ts";
import { done, givenJob, givenLease, reportAll } from "./jobs.ts";
import { until } from "./until.ts";

export interface Told {
  id: string;
  headers: IncomingHttpHeaders;
  raw: string;
  type: string;
  data: Record<string, unknown>;
}

/** A status, or what else an endpoint can do; hang: it never answers. */
export type Reply = number | "reset" | "hang" | { status: number; headers?: Record<string, string>; body?: string };

export interface Receiver extends AsyncDisposable {
  url: string;
  told: Told[];
  /** How many requests are waiting for an answer. */
  open(): number;
  /** Ends every request that hangs. */
  answerAll(status: number): void;
}

/** Each request gets the reply that `decide` has for it; `n` counts them from 1. */
export async function startReceiver(decide: (told: Told, n: number) => Reply = () => 204): Promise<Receiver> {
  const told: Told[] = [];
  const hanging = new Set<(status: number) => void>();
  const server = createServer((req, res) => {
    let raw = "";
    req.setEncoding("utf8").on("data", (text: string) => {
      raw += text;
    });
    req.on("end", () => {
      const { type, data } = JSON.parse(raw) as Pick<Told, "type" | "data">;
      const one = { id: String(req.headers["webhook-id"]), headers: req.headers, raw, type, data };
      told.push(one);
      const reply = decide(one, told.length);
      if (reply === "reset") req.socket.resetAndDestroy();
      else if (reply === "hang") {
        const end = (status: number) => void res.writeHead(status).end();
        hanging.add(end);
        res.on("close", () => hanging.delete(end));
      } else if (typeof reply === "number") res.writeHead(reply).end();
      else res.writeHead(reply.status, reply.headers).end(reply.body);
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    told,
    open: () => hanging.size,
    answerAll: (status) => {
      for (const end of hanging) end(status);
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

/** Stores a webhook of all types and of the ends; answers its id. */
export async function givenWebhook(db: Database, more: Partial<NewWebhook> = {}): Promise<string> {
  const kinds: EventKind[] = ["done", "failed", "cancelled"];
  const hook = { url: "https://example.org/hook", secret: newSecret(), types: [], kinds, ...more };
  const stored = await addWebhook(db.sql, hook);
  if (stored === null) throw new Error("not stored");
  return stored.id;
}

/** How an endpoint fails that answers 500; the next try is a minute off. */
export const FAILURE = { status: 500, error: "it answered 500", delayMs: 60_000 };

/** Dispatches a job and does it, in three events. */
export async function givenDone(db: Database, more: Partial<NewJob> = {}): Promise<string> {
  const id = await givenJob(db, more);
  await reportAll(db, done(await givenLease(db)));
  return id;
}

/** Job and kind of each row. */
export const keysOf = (rows: Record<string, unknown>[]) => rows.map((row) => [row["job_id"], row["kind"]]);

/** Fans out until all that has committed so far is through, whatever goes on in other tests' databases. */
export async function fannedOut(db: Database, handlers: string[] = []): Promise<void> {
  const [now] = await db.sql`SELECT pg_current_xact_id()::text AS xid`;
  await until("older transactions are over", async () => {
    const [row] =
      await db.sql`SELECT xid > ${String(now?.["xid"])}::xid8 AS over FROM (${boundOf(db.sql, "database")}) b`;
    return row?.["over"] === true;
  });
  // A look may find less than the one before: whose a transaction was cannot be seen once it has ended.
  await until("every webhook has come to it", async () => {
    await fanOut(db.sql, handlers, undefined, "database");
    const left = await db.sql`SELECT FROM ai_webhook w JOIN ai_event e ON (e.xid, e.id) > (w.xid, w.event_id)
      WHERE w.disabled_at IS NULL AND (w.url IS NOT NULL OR w.id = ANY (${handlers}::text[]))
        AND e.xid < ${String(now?.["xid"])}::xid8`;
    return left.length === 0;
  });
}

export async function claimFor(
  db: Database,
  brokerId: string,
  more: Partial<ClaimDeliveriesOptions> = {},
): Promise<Delivery[]> {
  const options = {
    leaseMs: 60_000,
    slackMs: 30_000,
    most: 100,
    busy: new Map(),
    circuitFailures: 5,
    handlers: [],
    ...more,
  };
  await brokerSeen(db.sql, brokerId);
  return await claimDeliveries(db.sql, { brokerId, ...options });
}

/** A deliverer that may send to this machine. */
export function givenDeliverer(
  db: Database,
  more: Partial<DelivererOptions & SendOptions> = {},
): Deliverer & { lines: string[] } {
  const lines: string[] = [];
  const timeoutMs = 5_000;
  const brokerId = more.brokerId ?? "broker-1";
  const send = createSend({ timeoutMs, allowPrivate: true, allowHttp: true, version: "test", ...more });
  const deliverer = createDeliverer({
    ...{ sql: db.sql, brokerId, send, handlers: [], timeoutMs, maxResultBytes: 1_000 },
    log: pino({ level: "debug" }, { write: (line: string) => void lines.push(line) }),
    recorder: () => ({ tried: () => undefined, delivered: () => undefined }),
    ...more,
  });
  let seen: Promise<void> | undefined;
  return {
    ...deliverer,
    lines,
    async once() {
      seen ??= brokerSeen(db.sql, brokerId);
      await seen;
      return await deliverer.once();
    },
  };
}

/** Looks again and again, as the loop does, until it is so. */
export async function delivering(what: string, deliverer: Deliverer, isSo: () => unknown): Promise<void> {
  await until(what, async () => {
    await deliverer.once();
    return Boolean(await isSo());
  });
}

/** Lets the waits of all deliveries and circuits pass. */
export async function letWaitsPass(db: Database): Promise<void> {
  await db.sql`UPDATE ai_delivery SET next_at = now() - interval '1 second' WHERE dead_at IS NULL`;
  await db.sql`UPDATE ai_webhook SET open_until = now() - interval '1 second' WHERE open_until IS NOT NULL`;
}

export async function deliveriesOf(db: Database, webhookId: string): Promise<Record<string, unknown>[]> {
  return await db.sql`SELECT * FROM ai_delivery WHERE webhook_id = ${webhookId} ORDER BY job_id, event_id`;
}
