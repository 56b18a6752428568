// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these texts are pieces of templates.
/** Bugs in how an attempt ends: by a report, by a release, by a legacy worker. */
import type { Mutant } from "./mutant.ts";

const REPORT = "src/store/report.ts";
const IS_HELD = "coalesce(j.status = 'RUNNING' AND j.lease_token = i.token AND i.turn = 1, false) AS settles";
const IS_LOST = "WHEN j.status <> 'RUNNING' OR j.lease_token IS DISTINCT FROM i.token THEN 'LEASE_LOST'";

export const ENDINGS: readonly Mutant[] = [
  {
    name: "report-without-token",
    about: "a report ends whatever attempt runs, also another worker's",
    file: REPORT,
    edits: [
      [IS_HELD, "coalesce(j.status = 'RUNNING' AND i.turn = 1, false) AS settles"],
      [IS_LOST, "WHEN j.status <> 'RUNNING' THEN 'LEASE_LOST'"],
    ],
    cell: "late-reports",
    rules: ["only-current-token-settles"],
  },
  {
    name: "expiry-as-guard",
    about: "a report that comes after the end of its lease is refused, although nobody has taken the lease back",
    file: REPORT,
    edits: [
      [
        IS_HELD,
        "coalesce(j.status = 'RUNNING' AND j.lease_token = i.token AND j.lease_expires_at >= now() AND i.turn = 1, false) AS settles",
      ],
      [
        IS_LOST,
        "WHEN j.status <> 'RUNNING' OR j.lease_token IS DISTINCT FROM i.token OR j.lease_expires_at < now() THEN 'LEASE_LOST'",
      ],
    ],
    cell: "late-reports",
    rules: ["current-token-is-heard"],
  },
  {
    name: "double-settle",
    about: "a report that is sent again settles its attempt again",
    file: REPORT,
    edits: [
      [
        IS_HELD,
        "coalesce((j.status = 'RUNNING' AND j.lease_token = i.token OR j.settled_token = i.token) AND i.turn = 1, false) AS settles",
      ],
      ["WHEN j.settled_token = i.token THEN", "WHEN false THEN"],
      [
        IS_LOST,
        "WHEN (j.status <> 'RUNNING' OR j.lease_token IS DISTINCT FROM i.token) AND j.settled_token IS DISTINCT FROM i.token THEN 'LEASE_LOST'",
      ],
    ],
    cell: "repeated-reports",
    rules: ["one-result-per-life"],
  },
  {
    name: "second-result",
    about: "a report that contradicts the first one is told so, and its result takes the place of the first one's",
    file: REPORT,
    edits: [
      [
        "WHERE v.settles AND v.verdict = 'ACCEPTED'",
        "WHERE v.settles AND v.verdict = 'ACCEPTED' OR v.verdict = 'CONFLICT'",
      ],
      ["${wary ? sql.unsafe(OVER) : sql``}", "${sql.unsafe(OVER)}"],
    ],
    cell: "repeated-reports",
    rules: ["one-result-per-life", "result-with-the-end"],
  },
  {
    name: "cancel-lost",
    about: "a report that comes after a cancel was requested is taken all the same",
    file: REPORT,
    edits: [
      ["WHEN j.cancel_requested_at IS NOT NULL THEN 'CANCELLED'", "WHEN false THEN 'CANCELLED'"],
      ["const cancelled = sql`j.cancel_requested_at IS NOT NULL`;", "const cancelled = sql`false`;"],
      [
        "const done = sql`j.cancel_requested_at IS NULL AND ${failure} IS NULL`;",
        "const done = sql`${failure} IS NULL`;",
      ],
    ],
    cell: "late-reports",
    rules: ["cancelled-is-not-worked"],
  },
  {
    name: "backoff-ignored",
    about: "a failed attempt is due again at once",
    file: REPORT,
    edits: [["* coalesce((${failure} ->> 2)::float8, ${backoffMs(sql, backoff)}) ELSE", "* 0 ELSE"]],
    cell: "repeated-reports",
    rules: ["backoff-is-waited"],
  },
  {
    name: "event-outside",
    about: "the event of a report is written by a statement of its own, after the commit",
    file: REPORT,
    edits: [
      ['${eventsOf(sql, "event", sql`(SELECT * FROM verdict WHERE settles) v`, SETTLED, kept)}', ""],
      [
        "  return rows.map((r) => ({\n    jobId: r.job_id,",
        `  const moved = rows.filter(({ to }) => to !== null).map(({ job_id }) => job_id);
  await sql\`INSERT INTO ai_event (job_id, seq, kind, job_type, attempt, tenant_id, source_domain, source_id)
    SELECT job_id, event_seq, CASE status WHEN 'PENDING' THEN 'retrying' ELSE lower(status) END, job_type, attempt_count,
      tenant_id, source_domain, source_id FROM ai_job WHERE job_id = ANY (\${moved}::text[]) AND status <> 'RUNNING'\`;
  return rows.map((r) => ({\n    jobId: r.job_id,`,
      ],
    ],
    cell: "kill-worker",
    rules: ["event-with-transition"],
  },
  {
    name: "release-burns",
    about: "a job that is given back unworked has spent its attempt",
    file: "src/store/release.ts",
    edits: [
      [
        "UPDATE ai_job j SET status = ${next}, attempt_count = greatest(0, j.attempt_count - 1), returns",
        "UPDATE ai_job j SET status = ${next}, returns",
      ],
    ],
    cell: "late-reports",
    rules: ["attempts-count-claims"],
  },
  {
    name: "anyones-failure",
    about: "a legacy worker's FAILED ends the attempt of whoever holds the job",
    file: "src/store/legacy-report.ts",
    edits: [
      [
        "'FAILED' AND (status <> 'RUNNING' OR locked_by IS DISTINCT FROM ${report.workerId})",
        "'FAILED' AND status <> 'RUNNING'",
      ],
    ],
    cell: "repeated-reports",
    rules: ["only-current-token-settles"],
  },
];
