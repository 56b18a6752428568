/** The reads of the dashboard: history, health, starts, counts and a job's past. */
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { describe, expect } from "vitest";
import { HealthLevel } from "../../src/gen/aibroker/v1/admin_service_pb.ts";
import { JobStatus } from "../../src/gen/aibroker/v1/job_pb.ts";
import { JobEventKind } from "../../src/gen/aibroker/v1/job_service_pb.ts";
import { endIntent, openIntent } from "../../src/store/ec2.ts";
import { rollUp } from "../../src/store/history.ts";
import { givenRows } from "../store/given-rows.ts";
import { test } from "../support/db.ts";
import { done, givenJob, givenLease, reportAll } from "../support/jobs.ts";
import { recordedMoves, refused, serviceClients } from "./service-clients.ts";

const { moves } = recordedMoves();

describe("GetHistory", () => {
  test("has a series for each type that is asked for, or one of all", async ({ db }) => {
    for (const type of ["ocr", "tag"]) await givenJob(db, { type });
    await reportAll(db, done(await givenLease(db, "w", { types: ["ocr"] })));
    while ((await rollUp(db.background)).more);
    const { admin } = serviceClients({ moves, db });
    const all = await admin.getHistory({});
    expect(all).toMatchObject({ step: { seconds: 60n }, series: [{ type: "" }], countedTo: expect.any(Object) });
    expect(Number(all.lastAt?.seconds) - Number(all.firstAt?.seconds)).toBe(59 * 60);
    const sum = all.series[0]?.points.reduce((total, { dispatched }) => total + dispatched, 0n);
    expect(sum).toBe(2n);
    const { series } = await admin.getHistory({ types: ["tag", "ocr", "none", "tag"] });
    expect(series.map(({ type, points }) => [type, points.length > 0])).toEqual([
      ["tag", true],
      ["ocr", true],
      ["none", false],
    ]);
    const point = series[1]?.points.at(-1);
    expect(point).toMatchObject({ done: 1n, runP50: { seconds: 0n }, waitP95: { seconds: 0n } });
    expect(series[0]?.points.at(-1)?.runP50).toBeUndefined();
  });

  test.for([
    [60, 60, 1],
    [900, 60, 15],
    [7_200, 60, 120],
    [7_201, 300, 25],
    [86_400, 300, 288],
    [604_800, 3_600, 168],
  ])("a span of %i s has points of %i s", async ([span, step, points], { db }) => {
    const { admin } = serviceClients({ moves, db });
    const answer = await admin.getHistory({ span: { seconds: BigInt(span as number) } });
    expect(Number(answer.step?.seconds)).toBe(step);
    expect(Number(answer.lastAt?.seconds) - Number(answer.firstAt?.seconds)).toBe(
      ((points as number) - 1) * (step as number),
    );
  });

  test("refuses what is out of bounds", async () => {
    const { admin } = serviceClients({ moves });
    await refused(admin.getHistory({ span: { seconds: 59n } }), "span", "BAD_FIELD", /must be 60\.\.604800 s/);
    await refused(admin.getHistory({ span: { seconds: 604_801n } }), "span", "BAD_FIELD");
    await refused(admin.getHistory({ types: Array(51).fill("t") }), "types", "BAD_FIELD", /at most 50/);
    await refused(admin.getHistory({ types: ["ocr", ""] }), "types[1]", "BAD_FIELD");
  });
});

test("GetHealth has the doctor's lines, looked up once for all who ask at the same time", async ({ db }) => {
  const { admin } = serviceClients({ moves, db });
  const [first, second] = await Promise.all([admin.getHealth({}), admin.getHealth({})]);
  expect(second).toEqual(first);
  const lines = new Map(first.lines.map((line) => [line.name, line]));
  for (const name of ["database", "clock", "rights", "schema", "indexes", "drift"]) {
    expect(lines.get(name), name).toMatchObject({ level: HealthLevel.OK, advice: "" });
  }
  // The tests' Postgres is quick, and would lose jobs.
  expect(lines.get("durability")).toMatchObject({ level: HealthLevel.FAIL, advice: expect.stringMatching(/set both/) });
  await db.sql`INSERT INTO ai_lease (id) VALUES (1)`;
  expect(await admin.getHealth({})).toEqual(first);
  const later = await serviceClients({ moves, db }).admin.getHealth({});
  expect(later.lines.find(({ name }) => name === "drift")).toMatchObject({
    level: HealthLevel.WARN,
    text: expect.stringMatching(/1 job stands wrong/),
  });
});

test("GetServerInfo says what the caller may do and how the broker is set", async ({ db }) => {
  const settings = [{ name: "PORT", value: "1", about: "the port", secret: false }];
  const isReadOnly = (header: Pick<Headers, "get">) => header.get("x-worker-token") === "reader";
  const { admin } = serviceClients({ moves, db, settings, isReadOnly });
  const headers = { "x-worker-token": "reader" };
  expect(await admin.getServerInfo({ includeSettings: true }, { headers })).toMatchObject({ readOnly: true, settings });
  expect(await admin.getServerInfo({})).toMatchObject({ readOnly: false, settings: [] });
  const plain = serviceClients({ moves, db }).admin;
  expect(await plain.getServerInfo({ includeSettings: true })).toMatchObject({ readOnly: false, settings: [] });
});

test("ListStarts has the wishes to start instances, the latest first, and what this broker would do", async ({
  db,
}) => {
  const wish = { source: "operator", reason: "asked", brokerId: "b", launchedBefore: null, knownWorkers: [] } as const;
  const turn = await openIntent(db.sql, { ...wish, instanceId: "i-1", knownWorkers: [] });
  await endIntent(db.sql, turn?.intentId ?? 0, { outcome: "denied", restMs: 0 });
  await openIntent(db.sql, { ...wish, instanceId: "i-2", knownWorkers: [] });
  const said = { instanceId: "i-2", reason: "30 due jobs", wantedAt: new Date("2026-01-02T03:04:05Z") };
  const starts = { instanceIds: ["i-1", "i-2"], dryRun: true, dryRuns: () => [said] };
  const { admin } = serviceClients({ moves, db, starts });
  expect(await admin.listStarts({})).toMatchObject({
    starts: [
      { instanceId: "i-2", source: "operator", reason: "asked", outcome: "", tries: 1 },
      { instanceId: "i-1", outcome: "denied", endedAt: expect.any(Object) },
    ],
    instanceIds: ["i-1", "i-2"],
    dryRun: true,
    dryRuns: [{ ...said, source: "loop", outcome: "", wantedAt: timestampFromDate(said.wantedAt) }],
  });
  const none = { instanceIds: [], dryRun: false, dryRuns: [] };
  expect(await serviceClients({ moves, db }).admin.listStarts({})).toMatchObject(none);
});

describe("CountJobs", () => {
  test("counts what the filter of ListJobs lets through, no further than the limit", async ({ db }) => {
    await givenRows(
      db,
      Array.from({ length: 30 }, (_, n) => ({ job_id: `j${n}`, status: n % 3 === 0 ? "FAILED" : "PENDING" })),
    );
    const { jobs } = serviceClients({ moves, db });
    expect(await jobs.countJobs({})).toMatchObject({ count: 30, more: false });
    expect(await jobs.countJobs({ limit: 30 })).toMatchObject({ count: 30, more: false });
    expect(await jobs.countJobs({ limit: 29 })).toMatchObject({ count: 29, more: true });
    expect(await jobs.countJobs({ statuses: [JobStatus.FAILED] })).toMatchObject({ count: 10, more: false });
    expect(await jobs.countJobs({ statuses: [JobStatus.PENDING], limit: 5 })).toMatchObject({ count: 5, more: true });
    await refused(jobs.countJobs({ limit: 100_001 }), "limit", "BAD_FIELD");
    await refused(jobs.countJobs({ types: [""] }), "types[0]", "BAD_FIELD");
  });
});

describe("ListJobEvents", () => {
  test("tells a job's past in pages, and its lease", async ({ db }) => {
    const jobId = await givenJob(db);
    await givenLease(db, "w1");
    const { jobs } = serviceClients({ moves, db });
    const first = await jobs.listJobEvents({ jobId, pageSize: 1 });
    expect(first).toMatchObject({ events: [{ kind: JobEventKind.DISPATCHED, seq: 1n, status: JobStatus.PENDING }] });
    const second = await jobs.listJobEvents({ jobId, pageSize: 1, pageToken: first.nextPageToken });
    expect(second).toMatchObject({
      events: [{ kind: JobEventKind.STARTED, workerId: "w1", eventId: `${jobId}/2` }],
      nextPageToken: "",
      lease: { workerId: "w1", attempt: 1, instanceId: "" },
    });
    await refused(
      jobs.listJobEvents({ jobId: "another", pageToken: first.nextPageToken }),
      "page_token",
      "BAD_PAGE_TOKEN",
    );
    await refused(jobs.listJobEvents({ jobId: "nobody" }), "job_id", "JOB_NOT_FOUND", /there is no job "nobody"/);
    await refused(jobs.listJobEvents({}), "job_id", "BAD_FIELD");
    await refused(jobs.listJobEvents({ jobId, pageSize: 501 }), "page_size", "BAD_FIELD");
  });
});
