/** A model and a database, held side by side. */
import { expect } from "vitest";
import type { Database } from "../../src/store/db.ts";
import { expectNoDrift } from "../support/jobs.ts";
import type { Model } from "../support/model.ts";

/** The tables say of every job just what the model says, and the small tables agree. */
export async function expectSameRows(db: Database, model: Model): Promise<void> {
  const rows = await db.sql`SELECT j.job_id, j.status, j.attempt_count, j.deliveries, j.returns, j.locked_by,
      j.instance_id, j.lease_token, j.cancel_requested_at IS NOT NULL AS cancel, j.settled_token,
      CASE WHEN j.settled_token IS NOT NULL THEN j.settled_as END AS settled_as, j.error_message,
      r.id IS NOT NULL AS has_result, r.payload::text AS result, j.finished_at IS NOT NULL AS finished
    FROM ai_job j LEFT JOIN ai_result r ON r.job_id = j.id ORDER BY j.id`;
  const expected = [...model.jobs].map(([job_id, job]) => ({
    job_id,
    status: job.status,
    attempt_count: job.attempts,
    deliveries: job.deliveries,
    returns: job.returns,
    locked_by: job.holder,
    instance_id: job.instance,
    lease_token: job.token,
    cancel: job.cancel,
    settled_token: job.settled?.token ?? null,
    settled_as: job.settled?.as ?? null,
    error_message: job.error,
    has_result: job.result !== undefined,
    result: job.result ?? null,
    finished: job.status !== "PENDING" && job.status !== "RUNNING",
  }));
  expect([...rows]).toEqual(expected);
  expect(await db.sql`SELECT count(*)::int AS n FROM ai_result_archive`).toEqual([{ n: model.archived }]);
  await expectNoDrift(db);
}
