/** The shim gives the answers that the original gave, and leaves the rows that it left. */
import { afterAll, describe, expect } from "vitest";
import type { Database } from "../../src/store/db.ts";
import { createTokens } from "../../src/tokens.ts";
import { test } from "../support/db.ts";
import { type Case, type GivenJob, type Recorded, type Row, readGolden } from "./golden.ts";
import { exchange, requestBytes } from "./raw-http.ts";
import { realMoves } from "./real-moves.ts";
import { type ShimServer, startShim } from "./shim-server.ts";

/** One that has a token and one that has none. */
const servers = new Map<string, Promise<ShimServer>>();

function serverFor(db: Database, noToken: boolean): Promise<ShimServer> {
  const key = String(noToken);
  const running = servers.get(key);
  if (running !== undefined) return running;
  const moves = realMoves(db);
  const started = startShim(noToken ? { moves, workerTokens: createTokens([]) } : { moves });
  servers.set(key, started);
  return started;
}

afterAll(async () => {
  for (const server of servers.values()) await (await server).stop();
});

describe("as the original answered", () => {
  for (const given of readGolden()) {
    test(given.name, async ({ pools }) => {
      await seed(pools, given.jobs);
      const { port } = await serverFor(pools, given.noToken);
      const answer = await exchange(port, requestBytes(given.request), given.request.method === "HEAD");
      const expected = expectedOf(given);
      const body = answer.body.toString("utf8");
      expect({ status: answer.status, body: expected.body === null ? null : body }).toEqual({
        status: expected.status,
        body: expected.body,
      });
      if (answer.status !== 404 || body !== "") {
        expect(answer.headers["content-type"]).toBe("application/json");
        expect(answer.headers["vary"]).toBeUndefined();
        expect(answer.headers["allow"]).toBe(
          given.request.target.includes("result") ? "POST, OPTIONS" : "GET, HEAD, OPTIONS",
        );
      }
      const rows = await rowsOf(pools);
      expect(Object.fromEntries(Object.keys(expected.rows).map((id) => [id, rows[id]]))).toEqual(expected.rows);
    });
  }
});

function expectedOf(given: Case): Recorded {
  if (given.ours !== undefined) return { ...given.django, ...given.ours };
  return { ...given.django, rows: Object.fromEntries(Object.entries(given.django.rows).map(mended)) };
}

/** The original also writes a result row for an attempt that will be tried again (defect 2). */
function mended([id, row]: [string, Row]): [string, Row] {
  const { result, ...rest } = row;
  return [id, row.status === "PENDING" || result === undefined ? rest : { ...rest, result }];
}

async function seed({ sql }: Database, jobs: GivenJob[]): Promise<void> {
  await sql`DELETE FROM ai_result`;
  await sql`DELETE FROM ai_job`;
  for (const [i, j] of jobs.entries()) {
    const running = j.status === "RUNNING";
    await sql`
      INSERT INTO ai_job (job_id, job_type, status, payload, tenant_id, source_domain, source_id, attempt_count,
        max_attempts, locked_by, locked_at, lease_expires_at, last_heartbeat_at, next_run_at)
      VALUES (${j.job_id}, ${j.job_type ?? "ocr"}, ${j.status ?? "PENDING"},
        ${j.payload_text ?? '{"image_path":"a.png"}'}::text::jsonb, ${j.tenant_id ?? null}, ${j.source_domain ?? null},
        ${j.source_id ?? null}, ${j.attempt_count ?? 0}, ${j.max_attempts ?? 5}, ${j.locked_by ?? null},
        CASE WHEN ${running} THEN now() END,
        CASE WHEN ${running} THEN now() + ${j.expired ? "-10 seconds" : "1 hour"}::text::interval END,
        CASE WHEN ${running} THEN now() END,
        now() + ${j.future ? "1 hour" : `-${100 - i} seconds`}::text::interval)`;
    if (j.result) {
      await sql`INSERT INTO ai_result (payload, job_id) SELECT '{"old":1}', id FROM ai_job WHERE job_id = ${j.job_id}`;
    }
  }
}

async function rowsOf({ sql }: Database): Promise<Record<string, Row>> {
  const rows = await sql<(Row & { job_id: string; stored: boolean })[]>`
    SELECT j.job_id, j.status, j.error_message, j.last_error, j.locked_by, j.attempt_count, r.payload::text AS result,
      r.id IS NOT NULL AS stored
    FROM ai_job j LEFT JOIN ai_result r ON r.job_id = j.id`;
  return Object.fromEntries(
    rows.map(({ job_id, stored, result, ...row }) => [job_id, stored ? { ...row, result } : row]),
  ) as Record<string, Row>;
}
