/** What became of a job, attempt by attempt. */
import type { JobLease } from "../../../src/gen/aibroker/v1/job_service_pb.ts";
import { Ago, Countdown } from "../../parts/ago.tsx";
import { Fact } from "../../parts/fact.tsx";
import { hrefOf } from "../../state/route.ts";
import { msOf } from "../../wire/convert.ts";
import { count, moment, span } from "../../words/format.ts";
import { words } from "../../words/language.ts";
import type { Attempt, Chapter, Moment, Story } from "./attempts.ts";

export function Timeline({ story, lease }: { story: Story; lease: JobLease | undefined }) {
  const t = words.value.job;
  const { chapters, missing } = story;
  return (
    <section class="panel">
      <header>
        <h2>{t.timeline}</h2>
        {missing > 0 && <span class="faint">{t.missing(count(missing))}</span>}
      </header>
      {chapters.length === 0 ? (
        <p class="faint pad">{t.noEvents}</p>
      ) : (
        <ol class="timeline">
          {chapters.map((chapter, index) => (
            <Part
              key={chapter.seq}
              chapter={chapter}
              before={chapters[index - 1]}
              lease={index === chapters.length - 1 ? lease : undefined}
            />
          ))}
        </ol>
      )}
    </section>
  );
}

interface PartProps {
  chapter: Chapter;
  before: Chapter | undefined;
  lease: JobLease | undefined;
}

function Part({ chapter, before, lease }: PartProps) {
  if (chapter.kind === "moment") return <MomentPart chapter={chapter} />;
  return <AttemptPart attempt={chapter} waitedMs={waitedMs(before, chapter)} lease={lease} />;
}

function MomentPart({ chapter: { what, at, error } }: { chapter: Moment }) {
  const t = words.value.job;
  return (
    <li class={`step step-${what}`}>
      <div class="step-line">
        <strong>{t.moments[what]}</strong>
        <span class="push" />
        <When at={at} />
      </div>
      {error !== "" && <p class="step-error">{error}</p>}
    </li>
  );
}

function AttemptPart({
  attempt,
  waitedMs,
  lease,
}: {
  attempt: Attempt;
  waitedMs: number | undefined;
  lease: JobLease | undefined;
}) {
  const t = words.value.job;
  const { end, startedAt, workerId, number } = attempt;
  const ranMs = end?.at !== undefined && startedAt !== undefined ? end.at - startedAt : undefined;
  return (
    <li class={`step step-${end?.kind ?? (lease ? "running" : "unknown")}`}>
      <div class="step-line">
        <strong>{t.attempt(count(number))}</strong>
        <a class="mono" href={hrefOf("jobs", "", { worker: workerId })}>
          {workerId}
        </a>
        <span class="push" />
        <When at={startedAt} />
      </div>
      <dl class="step-facts">
        {waitedMs !== undefined && waitedMs >= 0 && <Fact name={t.waited}>{span(waitedMs)}</Fact>}
        {end !== undefined && (
          <Fact name={t.ends[end.kind]}>{ranMs === undefined ? moment(end.at) : t.after(span(ranMs))}</Fact>
        )}
        {lease !== undefined && <LeaseFacts lease={lease} />}
      </dl>
      {end !== undefined && end.error !== "" && <p class="step-error">{end.error}</p>}
    </li>
  );
}

function LeaseFacts({ lease }: { lease: JobLease }) {
  const t = words.value.job;
  const { progress } = lease;
  const beat = msOf(lease.lastHeartbeatAt);
  const hasBeaten = beat !== undefined && beat !== msOf(lease.lockedAt);
  return (
    <>
      <Fact name={t.lease}>
        <Countdown to={msOf(lease.expiresAt)} over={t.leaseOver} />
      </Fact>
      <Fact name={t.heartbeat}>{hasBeaten ? <Ago at={beat} /> : t.noHeartbeat}</Fact>
      {lease.cancelAt !== undefined && (
        <Fact name={t.cancelIn}>
          <Countdown to={msOf(lease.cancelAt)} over={t.now} />
        </Fact>
      )}
      {progress !== undefined && (progress.percent !== undefined || progress.note !== "") && (
        <Fact name={t.progress}>
          {progress.percent !== undefined && (
            <progress max={100} value={progress.percent} aria-label={t.progress}>
              {progress.percent} %
            </progress>
          )}
          {progress.percent !== undefined && <span class="num">{progress.percent} %</span>} {progress.note}
        </Fact>
      )}
    </>
  );
}

function When({ at }: { at: number | undefined }) {
  if (at === undefined) return null;
  return (
    <span class="faint num">
      {moment(at)} · <Ago at={at} />
    </span>
  );
}

/** From the end of what was before to the begin of the attempt. */
function waitedMs(before: Chapter | undefined, { startedAt }: Attempt): number | undefined {
  const from = before?.kind === "attempt" ? before.end?.at : before?.at;
  return from === undefined || startedAt === undefined ? undefined : startedAt - from;
}
