/** A broker whose role does not own the tables, as docs/cut-over.md has it. */
import { expect, onTestFinished, test } from "vitest";
import { AIResultStatus } from "../../src/gen/aibroker/v1/job_pb.ts";
import type { Finding } from "../../src/health/finding.ts";
import { migrate } from "../../src/store/migrate.ts";
import { djangoDatabase } from "../support/bare-database.ts";
import { startTestBroker } from "../support/broker.ts";
import { runCli, runHere } from "./run-cli.ts";

/** A whole life of a job, through a broker on this URL; answers the job's status. */
async function wholeLife(url: string): Promise<number | undefined> {
  await using broker = await startTestBroker(url);
  const { results } = await broker.jobs.dispatch({ jobs: [{ type: "note" }] });
  const jobId = results[0]?.jobId ?? "";
  for await (const { frame } of broker.jobs.watchJobs({ jobIds: [jobId] })) {
    expect(frame.case).toBe("state");
    break;
  }
  const { jobs } = await broker.worker.claim({ workerId: "w1", wait: { seconds: 10n } });
  const leaseToken = jobs[0]?.leaseToken ?? "";
  const result = { jobId, status: AIResultStatus.AI_RESULT_STATUS_DONE, resultJson: "{}" };
  await broker.worker.report({ workerId: "w1", items: [{ leaseToken, result }] });
  expect(broker.lines.filter((line) => line.includes("permission denied"))).toEqual([]);
  return (await broker.jobs.getJob({ jobId })).job?.status;
}

async function rightsOf(url: string): Promise<Finding | undefined> {
  const { stdout } = await runHere(["doctor", "--json"], { DATABASE_URL: url, PORT: "0" });
  return (JSON.parse(stdout) as { findings: Finding[] }).findings.find(({ check }) => check === "rights");
}

test("a role is told the rights it lacks, by doctor and by serve, and can serve once it has them", async () => {
  const { url, sql } = await djangoDatabase({ serial: true });
  const role = `aibroker_test_${process.pid}`;
  await sql.unsafe(`CREATE ROLE ${role} LOGIN PASSWORD 'canary'`);
  onTestFinished(async () => {
    await sql.unsafe(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  });
  const theirs = new URL(url);
  theirs.username = role;
  theirs.password = "canary";
  const serve = () => runCli(["serve"], { env: { DATABASE_URL: theirs.href, PORT: "0" } });

  await migrate(url);
  // It has one more argument since Postgres 17.
  const [{ emit }] = (await sql`SELECT oid::regprocedure::text AS emit FROM pg_proc
    WHERE proname = 'pg_logical_emit_message' AND proargtypes[2] = 'text'::regtype`) as unknown as [{ emit: string }];
  await sql.unsafe(`REVOKE EXECUTE ON FUNCTION ${emit} FROM PUBLIC`);
  const rights = await rightsOf(theirs.href);
  expect(rights).toMatchObject({ level: "FAIL", advice: expect.stringContaining("GRANT USAGE ON SCHEMA drizzle TO") });
  expect(rights?.advice).toContain(`GRANT EXECUTE ON FUNCTION ${emit} TO`);
  const [, grants = ""] = rights?.advice?.split("run: ") ?? [];
  const refused = await serve();
  expect(refused).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining(grants) });
  expect(refused.stderr).not.toContain("    at ");

  await sql.unsafe(grants);
  expect(await rightsOf(theirs.href)).toMatchObject({ level: "ok" });
  expect(await wholeLife(theirs.href)).toBe(3);
});
