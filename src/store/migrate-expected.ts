/** The tables as Django's migrations 0001..0005 leave them: what an adoption asks for. */

export interface ExpectedColumn {
  name: string;
  /** As format_type spells it. */
  type: string;
  nullable: boolean;
}

export interface ExpectedTable {
  name: string;
  columns: ExpectedColumn[];
  /** Sets of columns that must be unique. */
  unique: string[][];
  /** Column and the table whose id it points to. */
  reference?: { column: string; table: string };
}

const columns = (spec: string): ExpectedColumn[] =>
  spec
    .trim()
    .split("\n")
    .map((line) => {
      const [name = "", ...words] = line.trim().split(" ");
      const nullable = words.at(-1) === "null";
      return { name, type: words.slice(0, nullable ? -1 : undefined).join(" "), nullable };
    });

export const AI_JOB: ExpectedTable = {
  name: "ai_job",
  columns: columns(`
    id bigint
    created_at timestamp with time zone
    updated_at timestamp with time zone
    job_id character varying(64)
    job_type character varying(50)
    status character varying(20)
    payload jsonb
    error_message text
    tenant_id character varying(64) null
    source_domain character varying(64) null
    source_id character varying(64) null
    attempt_count integer
    max_attempts integer
    locked_by character varying(128) null
    locked_at timestamp with time zone null
    lease_expires_at timestamp with time zone null
    last_heartbeat_at timestamp with time zone null
    next_run_at timestamp with time zone
    last_error text`),
  unique: [["id"], ["job_id"]],
};

export const AI_RESULT: ExpectedTable = {
  name: "ai_result",
  columns: columns(`
    id bigint
    created_at timestamp with time zone
    updated_at timestamp with time zone
    payload jsonb null
    job_id bigint`),
  unique: [["id"], ["job_id"]],
  reference: { column: "job_id", table: "ai_job" },
};

export const EXAM_SHEET: ExpectedTable = {
  name: "exams_exam_sheet",
  columns: columns(`
    id bigint
    exam_id integer
    sheet_id integer`),
  unique: [["id"], ["exam_id", "sheet_id"]],
};

interface Added {
  /** Columns of ai_job. */
  columns: string[];
  /** Tables and indexes, those of the online steps too. */
  relations: string[];
}

/** What each migration makes; none of it may be there before. */
export const ADDED: Record<string, Added> = {
  "0001_broker": {
    columns: [
      "priority",
      "idempotency_key",
      "traceparent",
      "lease_token",
      "deliveries",
      "returns",
      "progress_percent",
      "progress_note",
      "cancel_requested_at",
      "cancel_reason",
      "settled_token",
      "settled_as",
      "finished_at",
      "move",
    ],
    relations: [
      "ai_ready",
      "ai_ready_pkey",
      "ai_lease",
      "ai_lease_pkey",
      "ai_lease_request_idx",
      "ai_result_archive",
      "ai_type_pause",
      "ai_worker",
      "ai_step",
      "ai_job_idempotency_idx",
    ],
  },
  "0002_streams": {
    columns: ["instance_id"],
    relations: ["ai_session", "ai_session_pkey", "ai_broker", "ai_broker_pkey", "ai_lease_instance_idx"],
  },
  "0003_events": {
    columns: ["event_seq"],
    relations: ["ai_event", "ai_event_pkey", "ai_event_job_idx", "ai_event_horizon", "ai_event_horizon_pkey"],
  },
  "0004_ec2": {
    columns: [],
    relations: ["ai_ec2_intent", "ai_ec2_intent_pkey", "ai_ec2_intent_open_idx"],
  },
  "0005_retention": {
    columns: [],
    relations: ["ai_job_archive", "ai_job_archive_pkey", "ai_job_archive_job_idx"],
  },
  "0006_webhooks": {
    columns: [],
    relations: [
      "ai_webhook",
      "ai_webhook_pkey",
      "ai_delivery",
      "ai_delivery_pkey",
      "ai_delivery_due_idx",
      "ai_delivery_dead_idx",
      "ai_delivery_wanted_idx",
    ],
  },
  "0007_results": { columns: [], relations: [] },
  "0008_history": {
    columns: [],
    relations: ["ai_history", "ai_history_pkey", "ai_history_place", "ai_history_place_pkey"],
  },
};

/** What Django's later migrations take away again: whoever has one stands between 0003 and 0004. */
export const LEFT_BY_0003 = [
  "ai_job_status_ba4967_idx",
  "ai_job_locked__f6f4a2_idx",
  "ai_job_status_40ad65ce",
  "ai_job_status_40ad65ce_like",
];

export const DJANGO_MIGRATIONS = [
  "0001_initial",
  "0002_job_queue_fields",
  "0003_alter_aijobmodel_status_and_more",
  "0004_remove_aijobmodel_ai_job_status_ba4967_idx_and_more",
  "0005_alter_aijobmodel_error_message_and_more",
];
