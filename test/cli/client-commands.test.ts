import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect } from "vitest";
import { tableOfJobs } from "../../src/cli/jobs/list.ts";
import { waitForEnd } from "../../src/cli/wait.ts";
import { JobSchema, JobStatus } from "../../src/gen/aibroker/v1/job_pb.ts";
import { GetJobResponseSchema } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { runCli, runHere, startCli } from "./run-cli.ts";
import { test, WORKER_TOKEN } from "./with-broker.ts";

const REST = "api/v1/internal/ai/job";

/** Takes the next job as a legacy worker does. */
async function takeJob(url: string): Promise<string | undefined> {
  const headers = { "x-worker-token": WORKER_TOKEN, "x-worker-id": "legacy-1" };
  const answer = await fetch(`${url}/${REST}/next/`, { headers });
  return ((await answer.json()) as { job: { id: string } | null }).job?.id;
}

async function reportJob(url: string, body: object): Promise<void> {
  const headers = { "x-worker-token": WORKER_TOKEN, "x-worker-id": "legacy-1", "content-type": "application/json" };
  await fetch(`${url}/${REST}/result/`, { method: "POST", headers, body: JSON.stringify(body) });
}

describe("dispatch", () => {
  test("prints the id alone, so that a script can use it", async ({ db: _, served }) => {
    const { code, stdout, stderr } = await served.cli(["dispatch", "ocr", '{"image_path": "a.png"}']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^[0-9a-f-]{36}\n$/);
  });

  test("sends every option on, and the payload as it was written", async ({ db, served, folder }) => {
    await writeFile(join(folder, "payload.json"), '{"image_path": "b.png", "academy_id": 9007199254740993}');
    const options =
      "--id my-1 --tenant t1 --source-domain exams --source-id 7 --priority -5 --max-attempts 2 --idempotency-key k1";
    const run = () =>
      served.cli([
        "dispatch",
        "ocr",
        `@${folder}/payload.json`,
        ...options.split(" "),
        "--run-at",
        "2999-01-31T09:00:00Z",
      ]);
    expect((await run()).stdout).toBe("my-1\n");
    const [row] = await db.sql`SELECT tenant_id, source_domain, source_id, priority, max_attempts, idempotency_key,
      payload->>'academy_id' AS academy, next_run_at FROM ai_job WHERE job_id = 'my-1'`;
    expect(row).toEqual({
      tenant_id: "t1",
      source_domain: "exams",
      source_id: "7",
      priority: -5,
      max_attempts: 2,
      idempotency_key: "k1",
      academy: "9007199254740993",
      next_run_at: new Date("2999-01-31T09:00:00Z"),
    });
    expect(await run()).toMatchObject({
      code: 0,
      stdout: "my-1\n",
      stderr: expect.stringContaining("dispatched before"),
    });
  });

  test("--wait prints the result of a worker that comes later", async ({ db: _, served }) => {
    const waiting = served.cli(["dispatch", "note", '{"a": 1}', "--wait", "--timeout", "20s"]);
    let id: string | undefined;
    while (id === undefined) id = await takeJob(served.url);
    await reportJob(served.url, { job_id: id, status: "DONE", result: { text: "시험지" } });
    const { code, stdout } = await waiting;
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual({ text: "시험지" });
  });

  test("--wait exits 3 when --timeout passes, and says how to go on", async ({ db: _, served }) => {
    const { code, stdout, stderr } = await served.cli([
      "dispatch",
      "note",
      "--id",
      "slow",
      "--wait",
      "--timeout",
      "50ms",
    ]);
    expect({ code, stdout }).toEqual({ code: 3, stdout: "" });
    expect(stderr).toContain("jobs get slow");
  });

  test("--wait exits 1 when the job is cancelled meanwhile", async ({ db: _, served }) => {
    await served.cli(["dispatch", "note", "--id", "gone"]);
    await served.cli(["jobs", "cancel", "gone", "--reason", "not needed"]);
    const { code, stderr } = await served.cli(["dispatch", "note", "--id", "gone", "--wait"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/CANCELLED after 0 attempts.*not needed/);
  });

  test("a payload that is no JSON object is the user's fault", async ({ db, served }) => {
    const { code, stderr } = await served.cli(["dispatch", "ocr", "{image_path: 1}"]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^ai-job-broker: .+\n$/);
    expect((await db.sql`SELECT count(*)::int AS n FROM ai_job`)[0]).toEqual({ n: 0 });
  });
});

describe("jobs", () => {
  test("list shows a table for people and JSON for programs, filtered", async ({ db: _, served }) => {
    await served.cli(["dispatch", "ocr", '{"image_path": "a.png"}', "--id", "a"]);
    await served.cli(["dispatch", "note", "--id", "b"]);
    const people = await served.cli(["jobs", "list"]);
    expect(people.stdout).toMatch(
      /^ID +TYPE +STATUS +ATTEMPTS +WORKER +CREATED +ERROR\nb +note +PENDING +0\/5 .* ago\na +ocr/,
    );
    const programs = await served.cli(["jobs", "list", "--type", "ocr", "--status", "pending", "--json"]);
    const { jobs, more } = JSON.parse(programs.stdout);
    expect({ ids: jobs.map((job: { job: { id: string } }) => job.job.id), more }).toEqual({ ids: ["a"], more: false });
    expect(await served.cli(["jobs", "list", "-n", "1"])).toMatchObject({
      stderr: expect.stringContaining("there are more"),
    });
  });

  test("list goes through pages until the limit", async ({ db, served }) => {
    await db.sql`INSERT INTO ai_job (job_id, job_type) SELECT 'j' || n, 'note' FROM generate_series(1, 620) n`;
    const { stdout } = await served.cli(["jobs", "list", "--limit", "601", "--json"]);
    const answer = JSON.parse(stdout);
    expect({ count: answer.jobs.length, more: answer.more }).toEqual({ count: 601, more: true });
  });

  test("get shows payload and result; an unknown id exits 3", async ({ db: _, served }) => {
    await served.cli(["dispatch", "ocr", '{"image_path": "a.png"}', "--id", "a"]);
    await takeJob(served.url);
    const running = await served.cli(["jobs", "get", "a"]);
    expect(running.stdout).toMatch(/^lease ends +20.* \(in \d/m);
    await reportJob(served.url, { job_id: "a", status: "DONE", result: { text: "x" } });
    const { stdout } = await served.cli(["jobs", "get", "a"]);
    expect(stdout).not.toContain("lease ends");
    expect(stdout).toMatch(/^id +a$/m);
    expect(stdout).toMatch(/^status +DONE$/m);
    expect(stdout).toMatch(/^payload +\{"image_path": ?"a.png"\}$/m);
    expect(stdout).toMatch(/^result +\{"text": ?"x"\}$/m);
    const { code, stderr } = await served.cli(["jobs", "get", "b"]);
    expect(code).toBe(3);
    expect(stderr).toMatch(/^ai-job-broker: .*JOB_NOT_FOUND\)\n$/);
  });

  test("cancel and retry answer per job, from stdin too, and exit 3 where one was not done", async ({
    db: _,
    served,
  }) => {
    for (const id of ["a", "b"]) await served.cli(["dispatch", "note", "--id", id]);
    expect(await runCli(["jobs", "cancel", "-"], { env: served.env, stdin: "a\n\nb\n" })).toMatchObject({
      code: 0,
      stdout: "a  cancelled\nb  cancelled\n",
    });
    expect(await served.cli(["jobs", "retry", "a", "nobody"])).toMatchObject({
      code: 3,
      stdout: "a  pending again\nnobody  no such job\n",
    });
    const again = await served.cli(["jobs", "retry", "a", "--json"]);
    expect(again.code).toBe(3);
    expect(JSON.parse(again.stdout).results).toEqual([
      { jobId: "a", status: "RETRY_STATUS_NOT_RETRYABLE", jobStatus: "JOB_STATUS_PENDING" },
    ]);
  });

  test("what a worker wrote into an error cannot play with the terminal", async ({ db, served }) => {
    await db.sql`INSERT INTO ai_job (job_id, job_type, status, last_error)
      VALUES ('a', 'note', 'FAILED', ${"\u001b[31mred\u001b[0m\nID next"})`;
    const { stdout } = await served.cli(["jobs", "list"]);
    expect(stdout.split("\n")).toHaveLength(3);
    expect(stdout).not.toContain("\u001b");
  });
});

describe("a narrow terminal", () => {
  const job = (id: string, lastError: string) =>
    create(JobSchema, { job: { id, type: "ocr", maxAttempts: 5 }, status: JobStatus.FAILED, lastError });

  test("shows the error of a job under it, and none under a job without", () => {
    const jobs = [job("0199a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b", "the scan is empty ".repeat(9)), job("b", "")];
    const lines = tableOfJobs(jobs, 80).split("\n");
    expect(lines).toHaveLength(4);
    expect(lines[2]).toMatch(/^ {2}the scan is empty .*…$/);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
    expect(tableOfJobs(jobs, undefined).split("\n")).toHaveLength(3);
  });
});

describe("the wait for a job's end", () => {
  test("outlives a broker that is started anew, but not an answer that it is not let in", async () => {
    const away = new ConnectError("connection refused", Code.Unavailable);
    const ended = create(JobSchema, { status: JobStatus.DONE });
    const answers = [away, away, ended];
    const asks = (given: unknown[]) => ({
      getJob: async () => {
        const answer = given.shift();
        if (answer instanceof Error) throw answer;
        return create(GetJobResponseSchema, { job: answer as typeof ended });
      },
    });
    expect(await waitForEnd(asks(answers), "a", undefined)).toBe(ended);
    expect(answers).toEqual([]);
    await expect(waitForEnd(asks([new ConnectError("no", Code.Unauthenticated)]), "a", undefined)).rejects.toThrow();
    expect(await waitForEnd(asks([away, away]), "a", 1)).toBeUndefined();
  });
});

describe("operators", () => {
  test("stats, workers and pauses", async ({ db: _, served }) => {
    for (const id of ["a", "b"]) await served.cli(["dispatch", "note", "--id", id]);
    expect(await takeJob(served.url)).toBe("a");
    expect(await served.cli(["types", "pause", "note", "--reason", "maintenance"])).toMatchObject({ code: 0 });
    expect(await takeJob(served.url)).toBeUndefined();
    const stats = await served.cli(["stats"]);
    expect(stats.stdout).toMatch(/^TYPE +DUE +SCHEDULED +RUNNING +OLDEST DUE/);
    expect(stats.stdout).toMatch(/^note .*paused$/m);
    expect(JSON.parse((await served.cli(["types", "resume", "note", "--json"])).stdout)).toEqual({ resumed: true });
    const workers = await served.cli(["workers"]);
    expect(workers.stdout).toMatch(/^legacy-1 .*\b1\b.* a$/m);
  });
});

describe("a broker that does not let us in", () => {
  test("no token, a wrong one, and a worker's exit 5 and name BROKER_TOKEN", async ({ served }) => {
    const none = await runHere(["stats"], { BROKER_URL: served.url });
    expect(none).toMatchObject({
      code: 5,
      stderr: expect.stringContaining("set BROKER_TOKEN to one of its INTERNAL_API_TOKEN"),
    });
    const wrong = await served.cli(["stats"], { BROKER_TOKEN: "wrong-canary" });
    expect(wrong).toMatchObject({ code: 5, stderr: expect.stringContaining("refuses BROKER_TOKEN") });
    expect(wrong.stderr).not.toContain("canary");
    const worker = await served.cli(["stats"], { BROKER_TOKEN: WORKER_TOKEN });
    expect(worker).toMatchObject({ code: 5, stderr: expect.stringContaining("is a worker's token") });
  });

  test("nobody at the address exits 4 and says how to start one", async () => {
    const { code, stderr } = await runHere(["jobs", "list"], { BROKER_URL: "http://127.0.0.1:1" });
    expect(code).toBe(4);
    expect(stderr).toMatch(
      /^ai-job-broker: no broker at http:\/\/127.0.0.1:1 \(BROKER_URL\): connection refused; .*ai-job-broker dev.*\n$/,
    );
  });

  test("another kind of server, or TLS on one side only, exits 4 in one line", async ({ served }) => {
    const web = createServer((_, response) => response.end("hello")).listen(0, "127.0.0.1");
    await once(web, "listening");
    const { port } = web.address() as { port: number };
    const tls = served.url.replace("http:", "https:");
    for (const [url, words] of [
      [`http://127.0.0.1:${port}`, /broke off .*is it a broker that answers there\?\n$/],
      [tls, /no TLS connection to .* write http:\/\/ in BROKER_URL\n$/],
    ] as const) {
      const { code, stdout, stderr } = await runCli(["stats"], { env: { BROKER_URL: url } });
      expect({ code, stdout }, url).toEqual({ code: 4, stdout: "" });
      expect(stderr).toMatch(words);
      expect(stderr.trim().split("\n")).toHaveLength(1);
    }
    web.close();
  });

  test("a reader that has had enough is no error", async ({ db, served }) => {
    await db.sql`INSERT INTO ai_job (job_id, job_type) SELECT repeat('j', 50) || n, 'note' FROM generate_series(1, 500) n`;
    const running = startCli(["jobs", "list", "-n", "500", "--json"], { env: served.env });
    running.child.stdout?.destroy();
    expect(await running.done).toMatchObject({ code: 0, stderr: "" });
  });
});
