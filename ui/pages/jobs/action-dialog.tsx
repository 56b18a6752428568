/** An action on jobs: first how many it would reach, then the question, then what came of it. */
import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import type { BrokerError } from "../../../src/client/broker-error.ts";
import { Answers, Dialog, Form } from "../../parts/dialog.tsx";
import { Fault } from "../../parts/fault.tsx";
import { Field } from "../../parts/field.tsx";
import { say } from "../../parts/toasts.tsx";
import { databaseNow } from "../../state/clock.ts";
import { faultOf } from "../../state/session.ts";
import { jobs } from "../../wire/calls.ts";
import { timestampFromMs } from "../../wire/convert.ts";
import { count } from "../../words/format.ts";
import { words } from "../../words/language.ts";
import { type ActionAnswers, actOn, actOnAll, type JobAction, narrowed, type Tally } from "./actions.ts";
import type { JobsFilter } from "./filter.ts";

interface ActionDialogProps {
  action: JobAction;
  target: { ids: readonly string[] } | { filter: JobsFilter };
  /** The priority that is shown at first. */
  priority?: number;
  close: () => void;
  done: () => void;
}

const MOST_COUNTED = 100_000;
/** The clock of this page ticks by the second and knows the database's to half of one. */
const CLOCK_ROOM_MS = 2_000;

export function ActionDialog({ action, target, priority = 0, close, done }: ActionDialogProps) {
  const answers = useSignal<ActionAnswers>({ reason: "", priority });
  const reach = useReach(action, target);
  const progress = useSignal<Tally | undefined>(undefined);
  const error = useSignal<BrokerError | undefined>(undefined);
  const leave = useMemo(() => new AbortController(), []);
  const t = words.value.jobs;
  const stop = () => {
    leave.abort();
    if (progress.peek() === undefined) close();
    else done();
  };
  const run = async () => {
    progress.value = { changed: 0, left: 0 };
    const told = (tally: Tally) => (progress.value = tally);
    const sayIt = ({ changed, left }: Tally) => say(t.outcome[action](count(changed), count(left), left));
    try {
      const tally =
        "ids" in target
          ? await actOn(action, target.ids, answers.value, told)
          : reach.request && (await actOnAll(action, reach.request, answers.value, { signal: leave.signal, told }));
      if (tally !== undefined) sayIt(tally);
      // Who has left may have asked for something else since.
      if (!leave.signal.aborted) done();
    } catch (thrown) {
      // What was done before stays done.
      const before = progress.peek();
      if (before !== undefined && before.changed + before.left > 0) sayIt(before);
      if (leave.signal.aborted) return;
      error.value = faultOf(thrown);
      progress.value = undefined;
    }
  };
  const { text, isNone, isKnown } = reach;
  return (
    <Dialog title={t.titles[action]} close={stop}>
      <Form submit={run}>
        <p aria-live="polite">
          <strong class="num">{text}</strong>
          {t.explain[action]}
        </p>
        {error.value && <Fault error={error.value} />}
        <Asked action={action} answers={answers.value} change={(next) => (answers.value = next)} />
        {progress.value && <p class="num">{t.soFar(count(progress.value.changed))}</p>}
        <Answers
          label={t.verbs[action]}
          close={stop}
          isDangerous={action === "cancel"}
          isBusy={!isKnown || isNone || progress.value !== undefined}
        />
      </Form>
    </Dialog>
  );
}

/** How many jobs it is about; of a filter those that exist now, whatever comes while it runs. */
function useReach(action: JobAction, target: ActionDialogProps["target"]) {
  const counted = useSignal<{ count: number; more: boolean } | undefined>(undefined);
  const request = useMemo(() => {
    const now = "filter" in target ? narrowed(target.filter, action) : undefined;
    return now && { ...now, createdBefore: now.createdBefore ?? timestampFromMs(databaseNow() + CLOCK_ROOM_MS) };
  }, []);
  useEffect(() => {
    if ("ids" in target) counted.value = { count: target.ids.length, more: false };
    else if (request === undefined) counted.value = { count: 0, more: false };
    else
      jobs.countJobs({ ...request, limit: MOST_COUNTED }).then(
        (answer) => (counted.value = answer),
        (thrown) => {
          // It can be done all the same; only how many it reaches is not known.
          counted.value = { count: 0, more: true };
          say(faultOf(thrown).message, "bad");
        },
      );
  }, []);
  const t = words.value.jobs;
  const known = counted.value;
  return {
    request,
    isKnown: known !== undefined,
    isNone: known !== undefined && known.count === 0 && !known.more,
    text:
      known === undefined
        ? t.counting
        : known.more
          ? t.moreThan(count(known.count))
          : t.jobCount(count(known.count), known.count),
  };
}

interface AskedProps {
  action: JobAction;
  answers: ActionAnswers;
  change: (answers: ActionAnswers) => void;
}

function Asked({ action, answers, change }: AskedProps) {
  const t = words.value.jobs;
  if (action === "retry") return null;
  if (action === "priority")
    return (
      <Field label={t.priority} hint={t.priorityHint}>
        <input
          type="number"
          min={-1000}
          max={1000}
          required
          value={answers.priority}
          onInput={(event) => change({ ...answers, priority: event.currentTarget.valueAsNumber || 0 })}
        />
      </Field>
    );
  return (
    <Field label={words.value.reason}>
      <input
        value={answers.reason}
        maxLength={500}
        onInput={(event) => change({ ...answers, reason: event.currentTarget.value })}
      />
    </Field>
  );
}
