import { expect } from "vitest";
import { BrokerError } from "../../src/errors.ts";
import { openIntent } from "../../src/store/ec2.ts";
import { test } from "../support/db.ts";
import { givenJob, givenSeat } from "../support/jobs.ts";
import { A, ageIntents, B, C, FakeCloud, fakeBroker, intents, refusal } from "./fake-ec2.ts";

const ALL = { ec2InstanceIds: [A, B, C] };

test("all are started that are stopped, though nothing waits; each id gets its answer, in order", async ({ db }) => {
  const cloud = new FakeCloud(A, C);
  cloud.launch(C);
  const broker = fakeBroker(db, cloud, "b1", ALL);
  expect(await broker.start([])).toEqual([
    { instanceId: A, status: "STARTED", message: expect.stringContaining("EC2 starts it") },
    {
      instanceId: B,
      status: "NOT_FOUND",
      message: expect.stringMatching(/^EC2 knows no such instance: take it out of/),
    },
    { instanceId: C, status: "RUNNING", message: expect.stringContaining("it is running already") },
  ]);
  expect(cloud.starts).toEqual([A]);
  expect(await intents(db)).toEqual([{ id: A, source: "operator", started: true, outcome: null }]);
  expect(await broker.start([A])).toMatchObject([{ status: "RUNNING", message: expect.stringContaining("pending") }]);
});

test("neither limit nor cool-down nor the loop's pause holds a person back", async ({ db }) => {
  const cloud = new FakeCloud(A, B);
  const broker = fakeBroker(db, cloud, "b1", { ec2MaxStarts: 0 });
  cloud.startFaults.set(A, refusal("UnauthorizedOperation"));
  expect(await broker.start([A, B])).toMatchObject([{ status: "DENIED" }, { status: "STARTED" }]);
  cloud.startFaults.clear();
  expect(await broker.start([A])).toMatchObject([{ status: "STARTED" }]);
  expect(cloud.starts).toEqual([B, A]);
});

test("what was started by hand is waited for as any other", async ({ db }) => {
  const cloud = new FakeCloud(A, B);
  const broker = fakeBroker(db, cloud);
  await broker.start([A]);
  await givenJob(db);
  await broker.rounds(3);
  expect(cloud.starts).toEqual([A]);
  await givenSeat(db, "s1");
  await broker.rounds(1);
  expect(await intents(db)).toMatchObject([{ outcome: "connected" }]);
});

test.for([
  ["stopping", "STOPPING", "wait until it has stopped"],
  ["terminated", "NOT_FOUND", "it is terminated: take it out of EC2_WORKER_INSTANCE_IDS"],
  ["shutting-down", "NOT_FOUND", "it is shutting-down"],
] as const)("an instance that is %s is not started: %s", async ([state, status, words], { db }) => {
  const cloud = new FakeCloud(A);
  cloud.states.set(A, state);
  expect(await fakeBroker(db, cloud).start([A])).toMatchObject([{ status, message: expect.stringContaining(words) }]);
  expect(await intents(db)).toEqual([]);
});

test.for([
  ["InsufficientInstanceCapacity", "NO_CAPACITY"],
  ["RequestLimitExceeded", "THROTTLED"],
  ["UnauthorizedOperation", "DENIED"],
  ["IncorrectInstanceState", "STOPPING"],
  ["InvalidInstanceID.NotFound", "NOT_FOUND"],
  ["UnsupportedOperation", "FAILED"],
] as const)("%s answers %s, and the intent has ended", async ([code, status], { db }) => {
  const cloud = new FakeCloud(A);
  cloud.startFaults.set(A, refusal(code, "EC2's words"));
  const [answer] = await fakeBroker(db, cloud).start([A]);
  expect(answer).toMatchObject({
    status,
    message: expect.stringMatching(`^ec2:StartInstances: EC2's words \\(${code}\\): .`),
  });
  expect(await intents(db)).toMatchObject([{ started: false, outcome: expect.any(String) }]);
});

test("EC2 away: every id says that nothing was started", async ({ db }) => {
  const cloud = new FakeCloud(A, B);
  const inner = Object.assign(new Error("connect refused"), { code: "ECONNREFUSED" });
  // As Node throws it for a host with two addresses.
  const both = Object.assign(new AggregateError([inner], "none"), { message: "", code: "ECONNREFUSED" });
  cloud.describeFault = both;
  const message =
    "ec2:DescribeInstances: connect refused (ECONNREFUSED): nothing was started; is EC2 reachable from this broker? Try again";
  expect(await fakeBroker(db, cloud).start([])).toEqual([
    { instanceId: A, status: "FAILED", message },
    { instanceId: B, status: "FAILED", message },
  ]);
});

test("an answer that does not come is waited for once, not for each id", async ({ db }) => {
  const cloud = new FakeCloud(A, B, C);
  cloud.startFaults.set(B, Object.assign(new Error("timed out"), { name: "TimeoutError" }));
  expect(await fakeBroker(db, cloud, "b1", ALL).start([])).toMatchObject([
    { status: "STARTED" },
    { status: "FAILED", message: expect.stringContaining("whether it starts is not known") },
    { status: "FAILED", message: expect.stringContaining("not tried") },
  ]);
  expect(await intents(db)).toMatchObject([
    { id: A, started: true },
    { id: B, started: false, outcome: null },
  ]);
});

test("while another broker has the turn it is in progress; once that is over, it is taken over", async ({ db }) => {
  const cloud = new FakeCloud(A);
  const launchedBefore = new Date("2026-01-01T00:00:00Z");
  await openIntent(db.sql, {
    instanceId: A,
    source: "loop",
    reason: "",
    brokerId: "dead",
    knownWorkers: [],
    launchedBefore,
  });
  const broker = fakeBroker(db, cloud);
  expect(await broker.start([A])).toMatchObject([{ status: "IN_PROGRESS" }]);
  await ageIntents(db, 61);
  expect(await broker.start([A])).toMatchObject([{ status: "STARTED" }]);
  cloud.states.set(A, "stopped");
  expect(cloud.starts).toEqual([A]);
});

test("one that has stopped again is started again, as a new intent; one that does not show it yet is not", async ({
  db,
}) => {
  const cloud = new FakeCloud(A);
  const broker = fakeBroker(db, cloud);
  await broker.start([A]);
  cloud.states.set(A, "stopped");
  expect(await broker.start([A])).toMatchObject([{ status: "STARTED" }]);
  expect(await intents(db)).toMatchObject([{ outcome: "stopped" }, { outcome: null }]);
  cloud.states.set(A, "stopped");
  await db.sql`UPDATE ai_ec2_intent SET launched_before = '2026-01-01T00:00:02Z' WHERE ended_at IS NULL`;
  expect(await broker.start([A])).toMatchObject([
    { status: "IN_PROGRESS", message: expect.stringContaining("a moment ago") },
  ]);
  expect(cloud.starts).toEqual([A, A]);
});

test("a dry run answers what it would do", async ({ db }) => {
  const cloud = new FakeCloud(A);
  const broker = fakeBroker(db, cloud, "b1", { ec2DryRun: true });
  expect(await broker.start([A])).toMatchObject([
    { status: "DRY_RUN", message: expect.stringContaining("EC2_DRY_RUN") },
  ]);
  expect(cloud.starts).toEqual([]);
  expect(await intents(db)).toEqual([]);
});

test("ids that are not configured are refused before anything is started or loaded", async ({ db }) => {
  const cloud = new FakeCloud(A, C);
  const broker = fakeBroker(db, cloud);
  const fault = await broker.start([A, C]).catch((err: unknown) => err);
  expect(fault).toBeInstanceOf(BrokerError);
  expect(fault).toMatchObject({
    field: "instance_ids[1]",
    message: `instance_ids[1]: is not in EC2_WORKER_INSTANCE_IDS of this broker (${A}, ${B})`,
  });
  const none = fakeBroker(db, cloud, "b1", { ec2InstanceIds: [] });
  await expect(none.start([])).rejects.toThrow(/EC2_WORKER_INSTANCE_IDS of this broker is empty: list the workers'/);
  expect([broker.opened(), none.opened(), cloud.starts]).toEqual([0, 0, []]);
});
