// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these texts are pieces of templates.
/** Bugs in what producers and watchers are promised. */
import type { Mutant } from "./mutant.ts";

const DISPATCH = "src/store/dispatch-statement.ts";

export const PRODUCERS: readonly Mutant[] = [
  {
    name: "answered-before-commit",
    about: "a dispatch is answered while its jobs are on their way to the database",
    file: "src/dispatch/producer-moves.ts",
    edits: [
      [
        "      const stored = await store(jobs);",
        `      void store(jobs).catch(() => undefined);
      const stored: rows.Dispatched[] = jobs.map(({ id: jobId }) => ({ jobId, created: true }));`,
      ],
    ],
    cell: "cut-database",
    rules: ["acknowledged-dispatch-survives"],
  },
  {
    name: "key-ignored",
    about: "an idempotency key is not kept",
    file: DISPATCH,
    edits: [["  f.idempotency_key, f.traceparent, now(),", "  NULL, f.traceparent, now(),"]],
    cell: "lost-replies",
    rules: ["one-job-per-key"],
  },
  {
    name: "hand-off-without-lease",
    about: "a job that goes straight to a seat has no lease that could run out",
    file: DISPATCH,
    edits: [
      [
        "SELECT id, lease_expires_at, locked_by, instance_id FROM run",
        "SELECT id, lease_expires_at, locked_by, instance_id FROM run WHERE false",
      ],
    ],
    cell: "lost-hand-offs",
    rules: ["state-tables-agree"],
  },
  {
    name: "watch-skips-late-commits",
    about: "a watch goes on from the newest transaction, and passes over those that commit after younger ones",
    file: "src/store/events.ts",
    edits: [
      [
        "SELECT pg_snapshot_xmin(pg_current_snapshot()) AS xid",
        "SELECT pg_snapshot_xmax(pg_current_snapshot()) AS xid",
      ],
    ],
    cell: "many-claimers",
    rules: ["told-at-least-once"],
  },
];
