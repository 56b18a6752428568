/** Endpoints that are told of jobs: how each does, and what to do when it does not. */
import { useSignal } from "@preact/signals";
import type { Webhook } from "../../../src/gen/aibroker/v1/admin_service_pb.ts";
import { Ago, Countdown } from "../../parts/ago.tsx";
import { Empty } from "../../parts/empty.tsx";
import { Fault } from "../../parts/fault.tsx";
import { PageHead } from "../../parts/page-head.tsx";
import { useResource } from "../../parts/resource.ts";
import { say } from "../../parts/toasts.tsx";
import { databaseNow } from "../../state/clock.ts";
import { faultOf, mayChange } from "../../state/session.ts";
import { admin } from "../../wire/calls.ts";
import { msOf, spanOf } from "../../wire/convert.ts";
import { count, span } from "../../words/format.ts";
import { words } from "../../words/language.ts";
import { AddDialog, DeleteDialog, RedeliverDialog } from "./webhook-dialogs.tsx";

const LOOK_MS = 5_000;

type Asked = { what: "add" } | { what: "redeliver" | "delete"; webhook: Webhook };

export function Webhooks() {
  const { value, error, refresh } = useResource(
    async (signal) => (await admin.listWebhooks({}, { signal })).webhooks,
    "webhooks",
    LOOK_MS,
  );
  const asked = useSignal<Asked | undefined>(undefined);
  const t = words.value.webhooks;
  const webhooks = value.value;
  const close = () => {
    asked.value = undefined;
    refresh();
  };
  return (
    <>
      <PageHead title={t.title}>
        {mayChange.value && (
          <button type="button" class="primary" onClick={() => (asked.value = { what: "add" })}>
            {t.add}…
          </button>
        )}
      </PageHead>
      {error.value && <Fault error={error.value} retry={refresh} />}
      {webhooks === undefined && error.value === undefined && <p class="loading">{words.value.loading}</p>}
      {webhooks?.length === 0 && (
        <Empty title={t.emptyTitle} command="npx ai-job-broker webhooks add https://example.com/hooks/jobs">
          {t.emptyText}
        </Empty>
      )}
      {webhooks?.map((webhook) => (
        <WebhookCard
          key={webhook.id}
          webhook={webhook}
          ask={(what) => (asked.value = { what, webhook })}
          refresh={refresh}
        />
      ))}
      {asked.value?.what === "add" && <AddDialog close={close} />}
      {asked.value?.what === "redeliver" && <RedeliverDialog webhook={asked.value.webhook} close={close} />}
      {asked.value?.what === "delete" && <DeleteDialog webhook={asked.value.webhook} close={close} />}
    </>
  );
}

type State = "ok" | "failing" | "paused" | "disabled";

function stateOf({ disabledAt, pausedUntil, failures }: Webhook): State {
  if (disabledAt !== undefined) return "disabled";
  const until = msOf(pausedUntil);
  if (until !== undefined && until > databaseNow()) return "paused";
  return failures > 0 ? "failing" : "ok";
}

interface WebhookCardProps {
  webhook: Webhook;
  ask: (what: "redeliver" | "delete") => void;
  refresh: () => void;
}

function WebhookCard({ webhook, ask, refresh }: WebhookCardProps) {
  const t = words.value.webhooks;
  const { id, url, types, kinds } = webhook;
  const state = stateOf(webhook);
  return (
    <section class="panel webhook">
      <header>
        <span class={`badge hook-${state}`}>{t.states[state]}</span>
        <h2 class="mono">{url}</h2>
        <span class="push" />
        {mayChange.value && (
          <>
            <button type="button" class="small" onClick={() => void test(id).then(refresh)}>
              {t.test}
            </button>
            <button type="button" class="small" onClick={() => ask("redeliver")}>
              {t.redeliver}…
            </button>
            <button type="button" class="small" onClick={() => ask("delete")}>
              {t.delete}…
            </button>
          </>
        )}
      </header>
      <WebhookFacts webhook={webhook} state={state} />
      <p class="faint pad">
        {t.tells(kinds.join(", "), types.length === 0 ? t.anyType : types.join(", "))} · <span class="mono">{id}</span>
      </p>
      {webhook.lastError !== "" && (
        // Of one that delivers again it is history.
        <p class={state === "ok" ? "faint pad" : "step-error"}>
          {state === "ok" && `${t.lastError}: `}
          {webhook.lastStatus > 0 && <strong class="num">HTTP {webhook.lastStatus} </strong>}
          {webhook.lastError} · <Ago at={msOf(webhook.lastErrorAt)} />
        </p>
      )}
    </section>
  );
}

function WebhookFacts({ webhook, state }: { webhook: Webhook; state: State }) {
  const t = words.value.webhooks;
  return (
    <dl class="facts">
      <div>
        <dt>{t.pending}</dt>
        <dd class="num">{count(webhook.pending)}</dd>
      </div>
      <div>
        <dt>{t.dead}</dt>
        <dd class={webhook.dead > 0 ? "num bad-text" : "num"}>{count(webhook.dead)}</dd>
      </div>
      <div>
        <dt>{t.failures}</dt>
        <dd class="num">{count(webhook.failures)}</dd>
      </div>
      <div>
        <dt>{t.lastDelivered}</dt>
        <dd>
          <Ago at={msOf(webhook.lastDeliveredAt)} />
        </dd>
      </div>
      {state === "paused" && (
        <div>
          <dt>{t.nextTry}</dt>
          <dd>
            <Countdown to={msOf(webhook.pausedUntil)} over={words.value.job.now} />
          </dd>
        </div>
      )}
      {state === "disabled" && (
        <div>
          <dt>{t.states.disabled}</dt>
          <dd>{webhook.disabledReason}</dd>
        </div>
      )}
    </dl>
  );
}

async function test(webhookId: string): Promise<void> {
  const t = words.value.webhooks;
  try {
    const { delivered, status, error, took } = await admin.testWebhook({ webhookId });
    if (delivered) say(t.tested(status, span(spanOf(took))));
    else say(t.testFailed(status, error), "bad");
  } catch (thrown) {
    say(faultOf(thrown).message, "bad");
  }
}
