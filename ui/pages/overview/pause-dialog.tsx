/** Holding back a type, with a reason for whoever wonders. */
import { useSignal } from "@preact/signals";
import { useDeed } from "../../parts/deed.ts";
import { Answers, Dialog, Form } from "../../parts/dialog.tsx";
import { Fault } from "../../parts/fault.tsx";
import { Field } from "../../parts/field.tsx";
import { say } from "../../parts/toasts.tsx";
import { admin } from "../../wire/calls.ts";
import { words } from "../../words/language.ts";

export function PauseDialog({ type, close }: { type: string; close: () => void }) {
  const reason = useSignal("");
  const t = words.value.overview;
  const { run, error, isBusy } = useDeed(async () => {
    await admin.pauseType({ type, reason: reason.value });
    say(t.pausedNow(type));
    close();
  });
  return (
    <Dialog title={t.pauseTitle(type)} close={close}>
      <Form submit={run}>
        {error && <Fault error={error} />}
        <p>{t.pauseText}</p>
        <Field label={words.value.reason}>
          <input value={reason.value} maxLength={500} onInput={(event) => (reason.value = event.currentTarget.value)} />
        </Field>
        <Answers label={t.pause} close={close} isBusy={isBusy} />
      </Form>
    </Dialog>
  );
}
