/** Workers' machines on EC2: which were started, by whom and why, and a button to start them by hand. */
import { useSignal } from "@preact/signals";
import {
  StartStatus,
  type StartWorkersResult,
  type WorkerStart,
} from "../../../src/gen/aibroker/v1/admin_service_pb.ts";
import { Ago } from "../../parts/ago.tsx";
import { useDeed } from "../../parts/deed.ts";
import { Answers, Dialog, Form } from "../../parts/dialog.tsx";
import { Fault } from "../../parts/fault.tsx";
import { useResource } from "../../parts/resource.ts";
import { mayChange } from "../../state/session.ts";
import { admin } from "../../wire/calls.ts";
import { msOf } from "../../wire/convert.ts";
import { words } from "../../words/language.ts";

const LOOK_MS = 15_000;

export function Starts() {
  const { value, error, refresh } = useResource((signal) => admin.listStarts({}, { signal }), "starts", LOOK_MS);
  const isAsked = useSignal(false);
  const t = words.value.starts;
  const answer = value.value;
  const instances = answer?.instanceIds ?? [];
  const close = () => {
    isAsked.value = false;
    refresh();
  };
  return (
    <section class="panel">
      <header>
        <h2>{t.title}</h2>
        {answer?.dryRun && <span class="badge">{t.dryRun}</span>}
        <span class="push" />
        {mayChange.value && instances.length > 0 && (
          <button type="button" class="small" onClick={() => (isAsked.value = true)}>
            {t.start}…
          </button>
        )}
      </header>
      {error.value && <Fault error={error.value} retry={refresh} />}
      {answer && instances.length === 0 && <p class="faint pad">{t.none}</p>}
      {answer && answer.dryRuns.length > 0 && <StartLines starts={answer.dryRuns} still={t.wouldStart} />}
      {answer?.dryRun && answer.dryRuns.length === 0 && <p class="faint pad">{t.neverDry}</p>}
      {answer && instances.length > 0 && answer.starts.length === 0 && <p class="faint pad">{t.never}</p>}
      {answer && answer.starts.length > 0 && <StartLines starts={answer.starts} still={t.open} />}
      {isAsked.value && <StartDialog instances={instances} close={close} />}
    </section>
  );
}

interface StartLinesProps {
  starts: readonly WorkerStart[];
  /** What those are that have no outcome. */
  still: string;
}

function StartLines({ starts, still }: StartLinesProps) {
  return (
    <ul class="starts">
      {starts.map(({ instanceId, source, reason, wantedAt, outcome, workerId }) => (
        <li key={`${instanceId} ${msOf(wantedAt)}`}>
          <code>{instanceId}</code>
          <span class="badge">{outcome || still}</span>
          <span class="faint">
            {source} · <Ago at={msOf(wantedAt)} />
          </span>
          <span class="starts-reason">
            {reason} {workerId !== "" && <span class="mono">{workerId}</span>}
          </span>
        </li>
      ))}
    </ul>
  );
}

function StartDialog({ instances, close }: { instances: readonly string[]; close: () => void }) {
  const chosen = useSignal<readonly string[]>(instances);
  const results = useSignal<readonly StartWorkersResult[] | undefined>(undefined);
  const t = words.value.starts;
  const { run, error, isBusy } = useDeed(async () => {
    results.value = (await admin.startWorkers({ instanceIds: [...chosen.value] })).results;
  });
  const toggle = (id: string) => {
    chosen.value = chosen.value.includes(id) ? chosen.value.filter((one) => one !== id) : [...chosen.value, id];
  };
  if (results.value !== undefined)
    return (
      <Dialog title={t.start} close={close}>
        <Form submit={close}>
          <ul class="starts">
            {results.value.map(({ instanceId, status, message }) => (
              <li key={instanceId}>
                <code>{instanceId}</code>
                <span class="badge">{statusName(status)}</span>
                <span class="starts-reason">{message}</span>
              </li>
            ))}
          </ul>
          <footer>
            <button type="submit" class="primary">
              {words.value.done}
            </button>
          </footer>
        </Form>
      </Dialog>
    );
  return (
    <Dialog title={t.start} close={close}>
      <Form submit={run}>
        {error && <Fault error={error} />}
        <p>{t.text}</p>
        <fieldset class="checks">
          <legend>{t.instances}</legend>
          {instances.map((id) => (
            <label key={id}>
              <input type="checkbox" checked={chosen.value.includes(id)} onChange={() => toggle(id)} />{" "}
              <code>{id}</code>
            </label>
          ))}
        </fieldset>
        <Answers label={t.start} close={close} isBusy={isBusy || chosen.value.length === 0} />
      </Form>
    </Dialog>
  );
}

/** The name without the prefix of the enum. */
function statusName(status: StartStatus): string {
  return Object.entries(StartStatus).find(([, value]) => value === status)?.[0] ?? String(status);
}
