// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these texts are pieces of templates.
/** Bugs in how a lease begins, is kept and is taken back. */
import type { Mutant } from "./mutant.ts";

const CLAIM = "src/store/claim-statement.ts";
const RECLAIM = "src/store/reclaim.ts";
const HEARTBEAT = "src/store/heartbeat.ts";
const SESSION = "src/dispatch/work-session.ts";

export const LEASES: readonly Mutant[] = [
  {
    name: "claim-without-lock",
    about: "two claims at a time take the same job: neither locks it or looks again",
    file: CLAIM,
    edits: [
      ["FOR UPDATE OF r, j SKIP LOCKED) x", ") x"],
      // Else the lease row of the first would stop the second.
      ["${round.wary ? sql.unsafe(OVER) : sql``}", "${sql.unsafe(OVER)}"],
    ],
    cell: "many-claimers",
    rules: ["leases-never-overlap"],
  },
  {
    name: "same-token-again",
    about: "a job has one token for all its attempts",
    file: CLAIM,
    edits: [["lease_token = ${round.token}::text || '.' || j.id,", "lease_token = 'lease.' || j.id,"]],
    cell: "repeated-reports",
    rules: ["leases-never-overlap"],
  },
  {
    name: "reclaim-early",
    about: "a lease is taken back a second before its end",
    file: RECLAIM,
    edits: [["WHERE expires_at < now() OR", "WHERE expires_at < now() + interval '1 second' OR"]],
    cell: "kill-worker",
    rules: ["no-early-reclaim"],
  },
  {
    name: "attempt-not-counted",
    about: "an attempt whose worker died is not counted, so a job that kills its workers goes round for ever",
    file: RECLAIM,
    edits: [
      [
        "UPDATE ai_job j SET status = ${next(sql)},",
        "UPDATE ai_job j SET attempt_count = greatest(0, j.attempt_count - 1), status = ${next(sql)},",
      ],
    ],
    cell: "kill-worker",
    rules: ["attempts-count-claims"],
  },
  {
    name: "event-left-out",
    about: "a reclaim writes no event",
    file: RECLAIM,
    edits: [['${eventsOf(sql, "event", sql`lapsed`, BACK, kept)}', ""]],
    cell: "kill-worker",
    rules: ["event-with-transition"],
  },
  {
    name: "heartbeat-of-anyone",
    about: "a heartbeat keeps the job's lease alive whatever token it brings",
    file: HEARTBEAT,
    edits: [
      [
        "coalesce(j.status = 'RUNNING' AND j.lease_token = i.token, false) AS held",
        "coalesce(j.status = 'RUNNING', false) AS held",
      ],
    ],
    cell: "late-reports",
    rules: ["heartbeats-extend-their-own"],
  },
  {
    name: "cancel-untold",
    about: "no heartbeat is told that its job is to be cancelled",
    file: HEARTBEAT,
    edits: [["WHEN cancel_requested_at IS NOT NULL THEN 'CANCEL' ELSE", "ELSE"]],
    cell: "late-reports",
    rules: ["cancel-is-told"],
  },
  {
    name: "credits-incremental",
    about: "a Capacity adds to what the worker said before",
    file: SESSION,
    edits: [
      [
        "  resize(capacity: Capacity): void {",
        `  resize({ maxInFlight, maxByType }: Capacity): void {
    const more = ([type, max]: [string, number]): [string, number] => [
      type,
      max + (this.#capacity.maxByType.get(type) ?? 0),
    ];
    const capacity = {
      maxInFlight: this.#capacity.maxInFlight + maxInFlight,
      maxByType: new Map([...maxByType].map(more)),
    };`,
      ],
    ],
    cell: "late-reports",
    rules: ["seats-are-kept"],
  },
  {
    name: "credit-at-ack",
    about: "a seat is free again once its job is acked, although the job goes on",
    file: SESSION,
    edits: [
      [
        "      this.#frames.delete(frame);\n      this.#unackedBytes -= bytes;",
        `      this.#frames.delete(frame);
      this.#unackedBytes -= bytes;
      for (const held of [...this.#held.values()]) if (held.seq === frame) this.drop(held);`,
      ],
    ],
    cell: "late-reports",
    rules: ["seats-are-kept"],
  },
  {
    name: "ack-ignored",
    about: "jobs of a stream that has died stay leased, also those that were never acked",
    file: SESSION,
    edits: [["({ seq }) => seq > this.#acked)", "({ seq }) => seq > this.#sent)"]],
    cell: "late-reports",
    rules: ["unseen-is-not-burnt"],
  },
];
