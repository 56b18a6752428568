/** `webhooks`: who is told of what happens to jobs. */
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import {
  CreateWebhookResponseSchema,
  DeleteWebhookResponseSchema,
  ListWebhooksResponseSchema,
  RedeliverWebhookResponseSchema,
  TestWebhookResponseSchema,
  type Webhook,
} from "../gen/aibroker/v1/admin_service_pb.ts";
import { CliError } from "./cli-error.ts";
import { withBroker } from "./connection.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { listOf, parseCount } from "./options.ts";
import { messageJson, print, printJson, say } from "./output.ts";
import { oneLine, table } from "./text.ts";
import { ago, parseTime } from "./time.ts";

const ID = "the webhook's id, from `webhooks list`";

export function addWebhooks(program: Command, done: (code: ExitCode) => void): void {
  const webhooks = program
    .command("webhooks")
    .description("Have endpoints told of what happens to jobs: add, list, remove, test, redeliver.")
    .addHelpText(
      "after",
      "\nExamples:\n  $ ai-job-broker webhooks add https://app.example.org/hooks/jobs\n  $ ai-job-broker webhooks list",
    );
  addAdd(webhooks);
  addList(webhooks);
  addRemove(webhooks, done);
  addTest(webhooks, done);
  addRedeliver(webhooks);
}

function addAdd(webhooks: Command): void {
  webhooks
    .command("add")
    .description("Add an endpoint; it is told what happens from now on. Prints the secret, which is never shown again.")
    .argument("<url>", "https://…")
    .option("-t, --type <types>", "only jobs of these types, separated by commas", listOf)
    .option("-k, --kind <kinds>", "events, separated by commas; default: done,failed,cancelled", listOf)
    .option("--secret <whsec>", "a secret that the receiver knows already; default: a new one")
    .option("--json", "print the API's answer as JSON")
    .addHelpText(
      "after",
      `
Examples:
  $ ai-job-broker webhooks add https://app.example.org/hooks/jobs
  $ ai-job-broker webhooks add https://app.example.org/hooks/ocr -t ocr -k dispatched,done`,
    )
    .action(async (url: string, options: { type?: string[]; kind?: string[]; secret?: string; json?: boolean }) => {
      const { type: types, kind: kinds, secret } = options;
      const answer = await withBroker((broker) => broker.admin.createWebhook({ url, types, kinds, secret }));
      if (options.json) return printJson(messageJson(CreateWebhookResponseSchema, answer));
      print(`${answer.webhook?.id}  ${answer.secret}`);
      say("The receiver verifies with this secret; keep it, it is not shown again.");
    });
}

function addList(webhooks: Command): void {
  webhooks
    .command("list")
    .description("List the webhooks, the oldest first, with how they do.")
    .option("--json", "print the API's answer as JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  $ ai-job-broker webhooks list\n  $ ai-job-broker webhooks list --json | jq '.webhooks[].lastError'",
    )
    .action(async (options: { json?: boolean }) => {
      const answer = await withBroker((broker) => broker.admin.listWebhooks({}));
      if (options.json) printJson(messageJson(ListWebhooksResponseSchema, answer));
      else if (answer.webhooks.length === 0) say("There is no webhook.");
      else print(tableOfWebhooks(answer.webhooks));
    });
}

function addRemove(webhooks: Command, done: (code: ExitCode) => void): void {
  webhooks
    .command("remove")
    .description("Remove a webhook and what it was still to be told.")
    .argument("<id>", ID)
    .option("--json", "print the API's answer as JSON")
    .addHelpText(
      "after",
      "\nExample:\n  $ ai-job-broker webhooks remove wh_bGJ0Y2h3ZWJob29r\n\nExits 3 when there was none.",
    )
    .action(async (webhookId: string, options: { json?: boolean }) => {
      const answer = await withBroker((broker) => broker.admin.deleteWebhook({ webhookId }));
      if (options.json) printJson(messageJson(DeleteWebhookResponseSchema, answer));
      else print(answer.deleted ? `${oneLine(webhookId)} is removed` : `there is no webhook ${oneLine(webhookId)}`);
      done(answer.deleted ? EXIT.ok : EXIT.notDone);
    });
}

function addTest(webhooks: Command, done: (code: ExitCode) => void): void {
  webhooks
    .command("test")
    .description("Send a test event (type webhook.test) now, once, and say what the endpoint answered.")
    .argument("<id>", ID)
    .option("--json", "print the API's answer as JSON")
    .addHelpText(
      "after",
      "\nExample:\n  $ ai-job-broker webhooks test wh_bGJ0Y2h3ZWJob29r\n\nExits 3 when it was not delivered.",
    )
    .action(async (webhookId: string, options: { json?: boolean }) => {
      const answer = await withBroker((broker) => broker.admin.testWebhook({ webhookId }));
      if (options.json) printJson(messageJson(TestWebhookResponseSchema, answer));
      else if (answer.delivered) print(`delivered: it answered ${answer.status}`);
      else print(`not delivered: ${oneLine(answer.error)}`);
      done(answer.delivered ? EXIT.ok : EXIT.notDone);
    });
}

interface Which {
  dead?: boolean;
  job?: string;
  seq?: number;
  since?: Date;
  json?: boolean;
}

function addRedeliver(webhooks: Command): void {
  webhooks
    .command("redeliver")
    .description("Send events again, with the ids that they had.")
    .argument("<id>", ID)
    .option("--dead", "those that were given up")
    .option("--job <id>", "those of this job")
    .option("--seq <number>", "with --job: only this one (data.seq in its body)", parseCount)
    .option("--since <time>", "all from then on, for example -2h or 2026-01-31T09:00:00Z", (text) => parseTime(text))
    .option("--json", "print the API's answer as JSON")
    .addHelpText(
      "after",
      `
Examples:
  $ ai-job-broker webhooks redeliver wh_bGJ0Y2h3ZWJob29r --dead
  $ ai-job-broker webhooks redeliver wh_bGJ0Y2h3ZWJob29r --job 0199a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b --seq 3
  $ ai-job-broker webhooks redeliver wh_bGJ0Y2h3ZWJob29r --since=-2h`,
    )
    .action(async (webhookId: string, which: Which) => {
      const seq = BigInt(which.seq ?? 0);
      const events = eventsOf(which);
      const answer = await withBroker((broker) => broker.admin.redeliverWebhook({ webhookId, events, seq }));
      if (which.json) printJson(messageJson(RedeliverWebhookResponseSchema, answer));
      else print(`${answer.count} ${answer.count === 1 ? "event" : "events"} will be sent again`);
    });
}

function eventsOf({ dead, job, since }: Which) {
  const given = [dead, job, since].filter((one) => one !== undefined);
  if (given.length !== 1) throw new CliError(EXIT.usage, "say which events: one of --dead, --job and --since");
  if (job !== undefined) return { case: "jobId", value: job } as const;
  if (since !== undefined) return { case: "since", value: timestampFromDate(since) } as const;
  return { case: "dead", value: true } as const;
}

function tableOfWebhooks(webhooks: Webhook[]): string {
  const rows = webhooks.map((hook) => [
    hook.id,
    hook.url,
    hook.types.join(",") || "any",
    hook.kinds.join(","),
    String(hook.pending),
    String(hook.dead),
    ago(hook.lastDeliveredAt),
    health(hook),
  ]);
  return table(["ID", "URL", "TYPES", "KINDS", "PENDING", "DEAD", "DELIVERED", "HEALTH"], rows, process.stdout.columns);
}

function health(hook: Webhook): string {
  if (hook.disabledAt !== undefined) return `disabled: ${hook.disabledReason}`;
  if (hook.failures === 0) return "ok";
  return `${hook.failures} failures, the last ${ago(hook.lastErrorAt)}: ${hook.lastError}`;
}
