/** `jobs priority` and `jobs release` */
import { expect } from "vitest";
import { startTestBroker } from "../support/broker.ts";
import { test, WORKER_TOKEN } from "./with-broker.ts";

test("priority moves what waits, and says what does not", async ({ db, served }) => {
  for (const id of ["a", "b"]) await served.cli(["dispatch", "ocr", "{}", "--id", id]);
  expect(await served.cli(["jobs", "priority", "--to", "-7", "b"])).toMatchObject({
    code: 0,
    stdout: "b  priority -7\n",
  });
  const [row] = await db.sql`SELECT priority FROM ai_job WHERE job_id = 'b'`;
  expect(row?.["priority"]).toBe(-7);
  const headers = { "x-worker-token": WORKER_TOKEN };
  await fetch(`${served.url}/api/v1/internal/ai/job/next/`, { headers });
  expect(await served.cli(["jobs", "priority", "--to", "3", "a", "b", "none"])).toMatchObject({
    code: 3,
    stdout: "a  priority 3\nb  unchanged: it is RUNNING\nnone  no such job\n",
  });
  expect((await served.cli(["jobs", "priority", "a"])).stderr).toMatch(/--to/);
});

test("a token that only reads lists jobs and moves none", async ({ url, served }) => {
  await using broker = await startTestBroker(url, { INTERNAL_READ_TOKEN: "read-token" });
  const env = { BROKER_URL: broker.url, BROKER_TOKEN: "read-token" };
  expect(await served.cli(["jobs", "list"], env)).toMatchObject({ code: 0 });
  expect(await served.cli(["jobs", "release", "a"], env)).toMatchObject({
    code: 5,
    stderr: expect.stringMatching(/BROKER_TOKEN only reads at .*: set it to one of INTERNAL_API_TOKEN/),
  });
});

test("release takes what runs from its worker, and tells the reason", async ({ db, served }) => {
  await served.cli(["dispatch", "ocr", "{}", "--id", "a"]);
  const headers = { "x-worker-token": WORKER_TOKEN, "x-worker-id": "old" };
  await fetch(`${served.url}/api/v1/internal/ai/job/next/`, { headers });
  expect(await served.cli(["jobs", "release", "a", "--reason", "it hangs", "--delay", "1h"])).toMatchObject({
    code: 0,
    stdout: "a  pending again\n",
  });
  const [event] = await db.sql`SELECT error FROM ai_event WHERE kind = 'released'`;
  expect(event?.["error"]).toBe("it hangs");
  const { code, stdout } = await served.cli(["jobs", "release", "a", "none", "--json"]);
  expect(code).toBe(3);
  expect(JSON.parse(stdout)).toEqual({
    results: [
      { jobId: "a", status: "RELEASE_JOB_STATUS_UNCHANGED", jobStatus: "JOB_STATUS_PENDING" },
      { jobId: "none", status: "RELEASE_JOB_STATUS_NOT_FOUND", jobStatus: "JOB_STATUS_UNSPECIFIED" },
    ],
  });
});
