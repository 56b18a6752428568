/** AdminService's calls about webhooks: what may be asked, and the answers in the words of the protos. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { BrokerError, badField } from "../errors.ts";
import type {
  CreateWebhookRequest,
  RedeliverWebhookRequest,
  WebhookSchema,
} from "../gen/aibroker/v1/admin_service_pb.ts";
import { EVENT_KINDS, type EventKind, TERMINAL_KINDS } from "../job/events.ts";
import { LIMITS } from "../job/limits.ts";
import { redeliverDead, redeliverJob, redeliverSince } from "../store/redeliver.ts";
import {
  addWebhook,
  findEndpoint,
  listWebhooks,
  MAX_WEBHOOKS,
  type NewWebhook,
  removeWebhook,
  type Webhook,
} from "../store/webhooks.ts";
import type { WebhookCalls } from "../webhooks/create-webhooks.ts";
import { timestamp } from "./convert.ts";
import { duration } from "./duration.ts";
import type { ServiceContext } from "./service-context.ts";
import { instant, shown, text } from "./validate.ts";
import { jobId, jobType } from "./validate-job.ts";

const URL_CHARS = 2_000;
const MOST_SEQ = 2n ** 53n;

/** The part of AdminService that is about webhooks. */
export function webhookCalls({ db, webhooks }: ServiceContext) {
  return {
    async createWebhook(request: CreateWebhookRequest) {
      const calls = present(webhooks);
      const hook = newWebhook(request, calls);
      const stored = await addWebhook(db.sql, hook);
      if (stored === null) {
        throw badField("url", `there are ${MAX_WEBHOOKS} webhooks, the most that there can be: delete one first`);
      }
      const { secret, ...rest } = hook;
      return { webhook: { ...rest, id: stored.id, createdAt: timestamp(stored.createdAt) }, secret };
    },

    async listWebhooks() {
      return { webhooks: (await listWebhooks(db)).map(message) };
    },

    async deleteWebhook(request: { webhookId: string }) {
      return { deleted: await removeWebhook(db.sql, webhookId(request.webhookId)) };
    },

    async testWebhook(request: { webhookId: string }) {
      const calls = present(webhooks);
      const { outcome, status, error, tookMs, eventId } = await calls.test(await endpoint(request.webhookId));
      return { delivered: outcome === "delivered", status: status ?? 0, error, took: duration(tookMs), eventId };
    },

    async redeliverWebhook(request: RedeliverWebhookRequest) {
      const again = chosen(request);
      const { id, disabled } = await endpoint(request.webhookId);
      if (disabled) throw badField("webhook_id", "is disabled, since its endpoint answered 410: create another one");
      return { count: await again(id) };
    },
  };

  async function endpoint(given: string) {
    const id = webhookId(given);
    const found = await findEndpoint(db, id);
    if (found === null) throw new BrokerError("WEBHOOK_NOT_FOUND", `no webhook has the id ${shown(id)}`);
    return found;
  }

  /** Checks which events are asked for before anything is looked up. */
  function chosen({ events, seq }: RedeliverWebhookRequest): (id: string) => Promise<number> {
    if (seq !== 0n && events.case !== "jobId") throw badField("seq", "goes with job_id only: give both or neither");
    if (seq < 0n || seq > MOST_SEQ) throw badField("seq", `must be 0..2^53, got ${seq}`);
    switch (events.case) {
      case "dead":
        if (!events.value) throw badField("dead", "must be true where it is given");
        return (id) => redeliverDead(db.sql, id);
      case "jobId": {
        const job = jobId("job_id", events.value);
        return (id) => redeliverJob(db.sql, id, job, seq === 0n ? null : Number(seq));
      }
      case "since": {
        const since = instant("since", events.value) as Date;
        return (id) => redeliverSince(db.sql, id, since);
      }
      default:
        throw badField("events", "is missing: give dead, job_id or since");
    }
  }
}

/** A broker has them always; the services' own tests may not. */
function present(webhooks: WebhookCalls | undefined): WebhookCalls {
  if (webhooks === undefined) throw new BrokerError("NOT_SERVED", "this server delivers no webhooks");
  return webhooks;
}

function webhookId(id: string): string {
  if (/^wh_[A-Za-z0-9_-]{1,61}$/.test(id)) return id;
  throw badField("webhook_id", `must be a webhook's id, which begins with wh_, got ${shown(id)}`);
}

function newWebhook({ url, types, kinds, secret }: CreateWebhookRequest, calls: WebhookCalls): NewWebhook {
  if (types.length > LIMITS.typesPerClaim) {
    throw badField("types", `must hold at most ${LIMITS.typesPerClaim} types, got ${types.length}`);
  }
  if (secret !== "" && !calls.isSecret(secret)) {
    throw badField("secret", "must be whsec_ and the base64 of 24 to 64 bytes; leave it out to have one made");
  }
  return {
    url: address(url, calls),
    types: [...new Set(types.map((type, index) => jobType(`types[${index}]`, type)))],
    kinds: kinds.length === 0 ? [...TERMINAL_KINDS] : [...new Set(kinds.map(kindWord))],
    secret: secret === "" ? calls.newSecret() : secret,
  };
}

function kindWord(kind: string, index: number): EventKind {
  const known = EVENT_KINDS.find((one) => one === kind);
  if (known === undefined) {
    throw badField(`kinds[${index}]`, `must be one of ${EVENT_KINDS.join(", ")}, got ${shown(kind)}`);
  }
  return known;
}

function address(given: string, calls: WebhookCalls): string {
  const url = URL.parse(text("url", given, URL_CHARS, 1));
  if (url === null) throw badField("url", `must be an address such as https://example.org/hook, got ${shown(given)}`);
  if (url.username !== "" || url.password !== "") throw badField("url", "must hold no user and no password");
  if (url.hash !== "") throw badField("url", "must hold no fragment (#…), which is never sent");
  const fault = calls.urlFault(url);
  if (fault !== undefined) throw badField("url", fault);
  return url.href;
}

function message(hook: Webhook): MessageInitShape<typeof WebhookSchema> {
  const { createdAt, disabledAt, disabledReason, openUntil, lastStatus, lastError, lastErrorAt, lastDeliveredAt } =
    hook;
  return {
    ...hook,
    createdAt: timestamp(createdAt),
    disabledAt: timestamp(disabledAt),
    disabledReason: disabledReason ?? "",
    pausedUntil: timestamp(openUntil),
    lastStatus: lastStatus ?? 0,
    lastError: lastError ?? "",
    lastErrorAt: timestamp(lastErrorAt),
    lastDeliveredAt: timestamp(lastDeliveredAt),
  };
}
