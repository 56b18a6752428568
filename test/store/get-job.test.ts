import { expect } from "vitest";
import { getJob } from "../../src/store/get-job.ts";
import { test } from "../support/db.ts";
import { givenRows } from "./given-rows.ts";

test("there is no job with that id", async ({ db }) => {
  expect(await getJob(db, "nobody")).toBeNull();
});

test("payload and result come as text, so that their numbers stay exact", async ({ db }) => {
  const json = '{"id": 12345678901234567890, "one": 1.0}';
  await givenRows(db, [{ job_id: "a", status: "DONE", payload: json }]);
  await db.sql`INSERT INTO ai_result (job_id, payload) SELECT id, ${json}::text::jsonb FROM ai_job`;
  expect(await getJob(db, "a")).toMatchObject({ jobId: "a", status: "DONE", payload: json, result: json });
});

test("a result row without a payload is told from none", async ({ db }) => {
  await givenRows(db, [{ job_id: "a", status: "DONE" }, { job_id: "b" }]);
  await db.sql`INSERT INTO ai_result (job_id) SELECT id FROM ai_job WHERE job_id = 'a'`;
  expect((await getJob(db, "a"))?.result).toBeNull();
  expect((await getJob(db, "b"))?.result).toBeUndefined();
});

test("its times are those of the database, to the millisecond, in any time zone", async ({ db }) => {
  await givenRows(db, [{ job_id: "a", created_at: "2026-03-29T01:30:00.125Z" }]);
  await db.drizzle.execute("SET timezone = 'Asia/Kathmandu'");
  try {
    const looks = await Promise.all(Array.from({ length: 4 }, () => getJob(db, "a")));
    for (const job of looks) expect(job?.createdAt.toISOString()).toBe("2026-03-29T01:30:00.125Z");
  } finally {
    await db.drizzle.execute("RESET timezone");
  }
});
