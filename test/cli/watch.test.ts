import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { describe, expect } from "vitest";
import { linesOf } from "../../src/cli/watch-lines.ts";
import { JobStatus } from "../../src/gen/aibroker/v1/job_pb.ts";
import { JobEventKind, JobEventSchema, WatchedJobSchema } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { cancel } from "../../src/store/cancel.ts";
import { API_TOKEN as STORY_TOKEN, startTestBroker } from "../support/broker.ts";
import { done, failed, givenJob, givenLease, reportAll } from "../support/jobs.ts";
import { until } from "../support/until.ts";
import { type Running, runHere, startCli } from "./run-cli.ts";
import { test } from "./with-broker.ts";

const TIME = "\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z";

async function printed(running: Running, words: string | RegExp): Promise<void> {
  const has = (text: string) => (typeof words === "string" ? text.includes(words) : words.test(text));
  const ask = () => has(running.stdout() + running.stderr()) || (running.child.exitCode !== null && "gone");
  const found = await until(`${words} is printed`, ask, 20_000);
  if (found === "gone" && !has(running.stdout() + running.stderr())) throw new Error(`it ended: ${running.stderr()}`);
}

describe("watch", () => {
  test("shows jobs as they are, then a line for each change, until Ctrl-C, which is no failure", async ({
    db,
    served,
  }) => {
    await givenJob(db, { id: "old" });
    const running = startCli(["watch", "--type", "ocr,embedding"], { env: served.env });
    await printed(running, /is PENDING +old {2}ocr\n/);
    await givenLease(db, "w1");
    await givenJob(db, { id: "not mine", type: "note" });
    await givenJob(db, { id: "new", type: "embedding" });
    await printed(running, "DISPATCHED");
    running.child.kill("SIGINT");
    const { code, stdout, stderr } = await running.done;
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout.trimEnd().split("\n")).toEqual([
      expect.stringMatching(new RegExp(`^${TIME}  is PENDING    old  ocr$`)),
      expect.stringMatching(new RegExp(`^${TIME}  STARTED       old  ocr  attempt 1  w1$`)),
      expect.stringMatching(new RegExp(`^${TIME}  DISPATCHED    new  embedding$`)),
    ]);
  });

  test("--json prints an object a line, whose cursor goes on behind it", async ({ db, served }) => {
    const id = await givenJob(db, { sourceDomain: "exams", sourceId: "7/a" });
    const args = ["watch", "--source", "exams/7/a", "--json"];
    const first = startCli(args, { env: served.env });
    await printed(first, '"state"');
    first.child.kill("SIGTERM");
    const [state, ...none] = (await first.done).stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(none).toEqual([]);
    expect(state).toMatchObject({ kind: "state", jobs: [{ jobId: id, status: "JOB_STATUS_PENDING" }] });
    await cancel(db.sql, [id], "", 0);
    const second = startCli([...args, "--cursor", state.cursor], { env: served.env });
    await printed(second, '"changes"');
    second.child.kill("SIGINT");
    const lines = (await second.done).stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.map(({ kind }) => kind).filter((kind) => kind !== "heartbeat")).toEqual(["changes"]);
    expect(lines.find(({ kind }) => kind === "changes")).toMatchObject({
      events: [{ jobId: id, kind: "JOB_EVENT_KIND_CANCELLED", sourceId: "7/a" }],
      cursor: expect.stringMatching(/./),
    });
  });

  test("--until-ended ends with the last job: 0 when all are DONE, 1 when one is not", async ({ db, served }) => {
    await givenJob(db, { id: "a" });
    const running = startCli(["watch", "--id", "a", "b", "--until-ended"], { env: served.env });
    await printed(running, "Not there yet: b");
    await reportAll(db, done(await givenLease(db)));
    await printed(running, "DONE");
    await givenJob(db, { id: "b" });
    await reportAll(db, done(await givenLease(db)));
    expect((await running.done).code).toBe(0);
    await givenJob(db, { id: "c" });
    await reportAll(db, failed(await givenLease(db), { retryable: false, error: "no ink" }));
    const mixed = await served.cli(["watch", "--id", "a", "c", "--until-ended"]);
    expect(mixed).toMatchObject({ code: 1, stdout: expect.stringMatching(/is FAILED +c .* no ink\n/) });
    expect(await served.cli(["watch", "--id", "a", "--until-ended"])).toMatchObject({ code: 0 });
  });

  test("Ctrl-C before all have ended is 130", async ({ db: _, served }) => {
    const running = startCli(["watch", "--id", "never", "--until-ended"], { env: served.env });
    await printed(running, "Not there yet: never");
    running.child.kill("SIGINT");
    expect((await running.done).code).toBe(130);
  });

  test("goes on where it was when its broker is started anew, and says so once", async ({ db, url }) => {
    const first = await startTestBroker(url);
    const env = { BROKER_URL: first.url, BROKER_TOKEN: STORY_TOKEN };
    const running = startCli(["watch", "--type", "ocr", "--changes-only", "--json"], { env });
    await printed(running, "heartbeat");
    await givenJob(db, { id: "before" });
    await printed(running, "before/1");
    await first.stop();
    await printed(running, "The broker is away");
    await givenJob(db, { id: "between" });
    await using _second = await startTestBroker(url, { PORT: String(first.port) });
    await printed(running, "between/1");
    running.child.kill("SIGINT");
    const { code, stdout, stderr } = await running.done;
    expect(code).toBe(0);
    expect([...stdout.matchAll(/"eventId":"([^"]+)"/g)].map(([, id]) => id)).toEqual(["before/1", "between/1"]);
    expect(stderr.match(/The broker is away/g)).toHaveLength(1);
  });

  test("a reader that has had enough ends it", async ({ db, served }) => {
    const running = startCli(["watch", "--type", "ocr", "--json"], { env: served.env });
    await printed(running, '"state"');
    running.child.stdout?.destroy();
    await givenJob(db);
    expect(await running.done).toMatchObject({ code: 0, stderr: "" });
  });

  test.for([
    [[], "say which jobs"],
    [["--type", "ocr", "--until-ended"], "--until-ended needs --id"],
    [["--id", "a", "--until-ended", "--changes-only"], "--until-ended needs --id"],
  ] as const)("watch %j is wrong usage", async ([args, words], { served }) => {
    expect(await served.cli(["watch", ...args])).toMatchObject({ code: 2, stderr: expect.stringContaining(words) });
  });

  test("a wrong token and a broker that is not there end it at once, as any command", async ({ served }) => {
    const wrong = await served.cli(["watch", "--type", "ocr"], { BROKER_TOKEN: "wrong" });
    expect(wrong).toMatchObject({ code: 5, stderr: expect.stringContaining("refuses BROKER_TOKEN") });
    const nobody = await runHere(["watch", "--type", "ocr"], { BROKER_URL: "http://127.0.0.1:1" });
    expect(nobody).toMatchObject({ code: 4, stderr: expect.stringContaining("connection refused") });
    const cursor = await served.cli(["watch", "--type", "ocr", "--cursor", "xyz"]);
    expect(cursor).toMatchObject({ code: 2, stderr: expect.stringMatching(/^ai-job-broker: cursor: .*\n$/) });
  });
});

describe("a line", () => {
  const at = timestampFromDate(new Date("2026-01-31T09:00:00.123Z"));
  const event = create(JobEventSchema, {
    jobId: "a",
    type: "ocr",
    kind: JobEventKind.FAILED,
    attempt: 2,
    workerId: "w1",
    error: "\u001b[31mthe scan\nis empty",
    at,
  });
  const frame = { kind: "changes" as const, events: [event], cursor: "c" };

  test("tells the job, the kind, the attempt, its worker and the error, which cannot play with the terminal", () => {
    expect(linesOf(frame)).toEqual([
      "2026-01-31T09:00:00.123Z  FAILED        a  ocr  attempt 2  w1  \u{fffd}[31mthe scan is empty",
    ]);
  });

  test("fits the terminal, and is coloured where it has colours", () => {
    const [line = ""] = linesOf(frame, { columns: 70 });
    expect(line).toHaveLength(70);
    expect(line).toMatch(/…$/);
    expect(linesOf(frame, { colour: true })[0]).toContain("\u001b[31mFAILED\u001b[0m        a");
  });

  test("of the state says how the job is; of a heartbeat there is none", () => {
    const job = create(WatchedJobSchema, { jobId: "a", type: "ocr", status: JobStatus.CANCELLED, updatedAt: at });
    const state = { kind: "state" as const, jobs: [job], unknownJobIds: [], cursorExpired: false, cursor: "c" };
    expect(linesOf(state)).toEqual(["2026-01-31T09:00:00.123Z  is CANCELLED  a  ocr"]);
    expect(linesOf({ kind: "heartbeat", cursorExpired: false, cursor: "c" })).toEqual([]);
  });
});
