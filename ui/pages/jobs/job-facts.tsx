/** What is known of a job beside its payload and its story. */
import type { Job } from "../../../src/gen/aibroker/v1/job_pb.ts";
import { Ago } from "../../parts/ago.tsx";
import { Fact } from "../../parts/fact.tsx";
import { hrefOf } from "../../state/route.ts";
import { msOf } from "../../wire/convert.ts";
import { count, moment } from "../../words/format.ts";
import { words } from "../../words/language.ts";

interface JobFactsProps {
  job: Job;
  /** The timeline has the newest error, too. */
  isErrorTold: boolean;
}

export function JobFacts({ job: seen, isErrorTold }: JobFactsProps) {
  const { job } = seen;
  const t = words.value.job;
  if (job === undefined) return null;
  const { sourceDomain = "", sourceId = "", tenantId = "" } = job;
  const isRetried = msOf(job.runAt) !== undefined && (msOf(job.runAt) ?? 0) > (msOf(job.createdAt) ?? 0);
  return (
    <section class="panel">
      <header>
        <h2>{t.facts}</h2>
      </header>
      <dl class="facts wide">
        <Fact name={words.value.jobs.type}>
          <a href={hrefOf("jobs", "", { type: job.type })}>{job.type}</a>
        </Fact>
        <Fact name={words.value.jobs.attempts}>{t.attemptsOf(count(seen.attemptCount), count(job.maxAttempts))}</Fact>
        <Fact name={words.value.jobs.priority}>{String(job.priority)}</Fact>
        <Fact name={t.deliveries}>{count(seen.deliveries)}</Fact>
        <Fact name={words.value.jobs.created}>
          <Time at={msOf(job.createdAt)} />
        </Fact>
        {isRetried && (
          <Fact name={t.runAt}>
            <Time at={msOf(job.runAt)} />
          </Fact>
        )}
        {seen.finishedAt && (
          <Fact name={t.finished}>
            <Time at={msOf(seen.finishedAt)} />
          </Fact>
        )}
        {seen.lockedBy !== "" && (
          <Fact name={words.value.jobs.parts.worker}>
            <a class="mono" href={hrefOf("jobs", "", { worker: seen.lockedBy })}>
              {seen.lockedBy}
            </a>
          </Fact>
        )}
        {tenantId !== "" && (
          <Fact name={words.value.jobs.parts.tenant}>
            <a href={hrefOf("jobs", "", { tenant: tenantId })}>{tenantId}</a>
          </Fact>
        )}
        {(sourceDomain !== "" || sourceId !== "") && (
          <Fact name={t.source}>
            <a href={hrefOf("jobs", "", { domain: sourceDomain, source: sourceId })}>
              {[sourceDomain, sourceId].filter(Boolean).join(" / ")}
            </a>
          </Fact>
        )}
        {job.idempotencyKey !== "" && <Fact name={t.key}>{job.idempotencyKey}</Fact>}
        {job.traceparent !== "" && (
          <Fact name={t.trace}>
            <span class="mono">{job.traceparent}</span>
          </Fact>
        )}
        {seen.cancelRequestedAt && (
          <Fact name={t.cancelAsked}>
            <Time at={msOf(seen.cancelRequestedAt)} /> {seen.cancelReason}
          </Fact>
        )}
      </dl>
      {seen.lastError !== "" && !isErrorTold && <p class="step-error">{seen.lastError}</p>}
    </section>
  );
}

function Time({ at }: { at: number | undefined }) {
  return (
    <>
      <span class="num">{moment(at)}</span>{" "}
      <span class="faint">
        (<Ago at={at} />)
      </span>
    </>
  );
}
