/** Signing in: a token, and nothing else. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { asBrokerError, type BrokerError } from "../../src/client/broker-error.ts";
import { Command } from "../parts/copy.tsx";
import { Form } from "../parts/dialog.tsx";
import { Fault } from "../parts/fault.tsx";
import { Field } from "../parts/field.tsx";
import { signIn } from "../state/session.ts";
import { brokerUrl } from "../wire/calls.ts";
import { words } from "../words/language.ts";

export function Login({ error: before }: { error: BrokerError | undefined }) {
  const token = useSignal("");
  const error = useSignal(before);
  const isBusy = useSignal(false);
  const field = useRef<HTMLInputElement>(null);
  const t = words.value.login;
  useEffect(() => {
    document.title = words.value.product;
    field.current?.focus();
  }, []);
  const submit = async () => {
    if (isBusy.peek()) return;
    isBusy.value = true;
    error.value = undefined;
    try {
      await signIn(token.value.trim());
    } catch (thrown) {
      error.value = asBrokerError(thrown);
      isBusy.value = false;
      field.current?.focus();
    }
  };
  return (
    <main class="login" id="main">
      <div class="panel">
        <h1>{words.value.product}</h1>
        <p class="faint mono">{brokerUrl}</p>
        <Form submit={submit}>
          <Field label={t.token} hint={t.hint}>
            <input
              ref={field}
              type="password"
              autoComplete="current-password"
              spellcheck={false}
              required
              value={token.value}
              aria-invalid={error.value !== undefined}
              onInput={(event) => (token.value = event.currentTarget.value)}
            />
          </Field>
          {error.value && <Fault error={error.value} />}
          <button type="submit" class="primary" disabled={isBusy.value}>
            {isBusy.value ? t.trying : t.signIn}
          </button>
        </Form>
        <details>
          <summary>{t.where}</summary>
          <p>{t.whereText}</p>
          <Command text="cat .ai-job-broker/dev-tokens.json" />
        </details>
      </div>
    </main>
  );
}
