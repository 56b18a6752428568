/** Adding a webhook, sending its events again, removing it. */
import { useSignal } from "@preact/signals";
import type { RedeliverWebhookRequest, Webhook } from "../../../src/gen/aibroker/v1/admin_service_pb.ts";
import { Command } from "../../parts/copy.tsx";
import { useDeed } from "../../parts/deed.ts";
import { Answers, Dialog, Form } from "../../parts/dialog.tsx";
import { Fault } from "../../parts/fault.tsx";
import { Field } from "../../parts/field.tsx";
import { say } from "../../parts/toasts.tsx";
import { admin } from "../../wire/calls.ts";
import { timestampFromMs } from "../../wire/convert.ts";
import { count } from "../../words/format.ts";
import { words } from "../../words/language.ts";

const KINDS = ["done", "failed", "cancelled", "dispatched", "started", "retrying", "released", "reclaimed", "retried"];
const HOURS = 3_600_000;

export function AddDialog({ close }: { close: () => void }) {
  const url = useSignal("");
  const types = useSignal("");
  const kinds = useSignal<readonly string[]>(["done", "failed", "cancelled"]);
  const secret = useSignal("");
  const t = words.value.webhooks;
  const { run, error, isBusy } = useDeed(async () => {
    const listed = types.value
      .split(",")
      .map((type) => type.trim())
      .filter((type) => type !== "");
    const answer = await admin.createWebhook({ url: url.value.trim(), types: listed, kinds: [...kinds.value] });
    secret.value = answer.secret;
  });
  const toggle = (kind: string) => {
    kinds.value = kinds.value.includes(kind) ? kinds.value.filter((one) => one !== kind) : [...kinds.value, kind];
  };
  if (secret.value !== "")
    return (
      <Dialog title={t.added} close={close}>
        <Form submit={close}>
          <p>{t.secretText}</p>
          <Command text={secret.value} />
          <footer>
            <button type="submit" class="primary">
              {words.value.done}
            </button>
          </footer>
        </Form>
      </Dialog>
    );
  return (
    <Dialog title={t.add} close={close}>
      <Form submit={run}>
        {error && <Fault error={error} />}
        <Field label="URL">
          <input
            type="url"
            required
            placeholder="https://"
            value={url.value}
            onInput={(event) => (url.value = event.currentTarget.value)}
          />
        </Field>
        <Field label={t.types} hint={t.typesHint}>
          <input value={types.value} onInput={(event) => (types.value = event.currentTarget.value)} />
        </Field>
        <fieldset class="checks">
          <legend>{t.kinds}</legend>
          {KINDS.map((kind) => (
            <label key={kind}>
              <input type="checkbox" checked={kinds.value.includes(kind)} onChange={() => toggle(kind)} /> {kind}
            </label>
          ))}
        </fieldset>
        <Answers label={t.add} close={close} isBusy={isBusy || kinds.value.length === 0} />
      </Form>
    </Dialog>
  );
}

type Choice = "dead" | "since" | "job";

export function RedeliverDialog({ webhook, close }: { webhook: Webhook; close: () => void }) {
  const choice = useSignal<Choice>(webhook.dead > 0 ? "dead" : "since");
  const hours = useSignal(1);
  const jobId = useSignal("");
  const t = words.value.webhooks;
  const { run, error, isBusy } = useDeed(async () => {
    const answer = await admin.redeliverWebhook({
      webhookId: webhook.id,
      events: eventsOf(choice.value, hours.value, jobId.value.trim()),
    });
    say(t.redelivered(count(answer.count)));
    close();
  });
  const radio = (value: Choice, text: string) => (
    <label>
      <input type="radio" name="events" checked={choice.value === value} onChange={() => (choice.value = value)} />{" "}
      {text}
    </label>
  );
  return (
    <Dialog title={t.redeliver} close={close}>
      <Form submit={run}>
        {error && <Fault error={error} />}
        <fieldset class="checks">
          <legend>{t.which}</legend>
          {radio("dead", t.whichDead(count(webhook.dead)))}
          {radio("since", t.whichSince)}
          {radio("job", t.whichJob)}
        </fieldset>
        {choice.value === "since" && (
          <Field label={t.hours}>
            <input
              type="number"
              min={1}
              max={720}
              required
              value={hours.value}
              onInput={(event) => (hours.value = event.currentTarget.valueAsNumber || 1)}
            />
          </Field>
        )}
        {choice.value === "job" && (
          <Field label={words.value.jobs.id}>
            <input
              required
              maxLength={64}
              value={jobId.value}
              onInput={(event) => (jobId.value = event.currentTarget.value)}
            />
          </Field>
        )}
        <Answers label={t.redeliver} close={close} isBusy={isBusy} />
      </Form>
    </Dialog>
  );
}

function eventsOf(choice: Choice, hours: number, jobId: string): RedeliverWebhookRequest["events"] {
  if (choice === "dead") return { case: "dead", value: true };
  if (choice === "job") return { case: "jobId", value: jobId };
  return { case: "since", value: timestampFromMs(Date.now() - hours * HOURS) };
}

export function DeleteDialog({ webhook, close }: { webhook: Webhook; close: () => void }) {
  const t = words.value.webhooks;
  const { run, error, isBusy } = useDeed(async () => {
    await admin.deleteWebhook({ webhookId: webhook.id });
    say(t.deleted);
    close();
  });
  return (
    <Dialog title={t.deleteTitle} close={close}>
      <Form submit={run}>
        {error && <Fault error={error} />}
        <p class="mono">{webhook.url}</p>
        <p>{t.deleteText(count(webhook.pending))}</p>
        <Answers label={t.delete} close={close} isDangerous isBusy={isBusy} />
      </Form>
    </Dialog>
  );
}
