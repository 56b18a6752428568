/**
 * The application: it gets the end of each OCR job as a signed webhook, applies the text once and has it graded, as the
 * old Django app's handle_ai_result did. An event may come twice, so its id is written in the transaction that applies it.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { DatabaseSync } from "node:sqlite";
import { text } from "node:stream/consumers";
import { Webhook } from "standardwebhooks";
// In a project of yours: from "ai-job-broker/client".
import type { Client } from "../../src/client/index.ts";
import type { Reach } from "./points.ts";

export interface Application {
  jobId: string;
  sheet: string;
  text: string;
}

export interface Receiver {
  url: string;
  /** What broker.CreateWebhook answered: from then on messages are taken. */
  trust(secret: string): void;
  applications(): Application[];
  /** Messages that were taken, repeated ones too. */
  readonly messages: number;
  close(): void;
}

interface Message {
  data: { event_id: string; job_id: string; kind: string; source_id: string | null; result: { text?: string } | null };
}

export async function openReceiver(file: string, client: Client, reach: Reach): Promise<Receiver> {
  const db = new DatabaseSync(file);
  db.exec("CREATE TABLE IF NOT EXISTS applied (event_id TEXT PRIMARY KEY, job_id TEXT, sheet TEXT, text TEXT)");
  let webhook: Webhook | undefined;
  let messages = 0;

  async function take(request: IncomingMessage): Promise<number> {
    const body = await text(request);
    await reach("delivered");
    if (webhook === undefined) return 503;
    // Throws for what somebody else has sent, and for what is minutes old.
    const { data } = webhook.verify(body, request.headers as Record<string, string>) as Message;
    messages += 1;
    if (data.kind !== "done") return 204;
    // Once, whatever becomes of the answer.
    db.prepare("INSERT OR IGNORE INTO applied VALUES (?, ?, ?, ?)").run(
      data.event_id,
      data.job_id,
      data.source_id,
      data.result?.text ?? "",
    );
    await reach("applied");
    // Repeated with the event, it finds the first job.
    const options = { idempotencyKey: data.event_id, sourceDomain: "exams", sourceId: data.source_id ?? "" };
    await client.dispatch("grading", { sheet: data.source_id, text: data.result?.text ?? "" }, options);
    await reach("grading dispatched");
    return 204;
  }

  const server = createServer((request, response) => {
    take(request)
      .catch((error: unknown) => {
        console.error(`the receiver refuses a message: ${error instanceof Error ? error.message : error}`);
        return 400;
      })
      .then(async (status) => {
        response.writeHead(status).end();
        await once(response, "close");
        if (status === 204) await reach("answered");
      })
      .catch(() => undefined);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" ? address?.port : undefined;
  return {
    url: `http://127.0.0.1:${port}/events`,
    trust: (secret) => {
      webhook = new Webhook(secret);
    },
    applications: () =>
      db.prepare("SELECT job_id AS jobId, sheet, text FROM applied ORDER BY rowid").all() as unknown as Application[],
    get messages() {
      return messages;
    },
    close: () => {
      server.close();
      server.closeAllConnections();
      db.close();
    },
  };
}
