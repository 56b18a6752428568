import { describe, expect } from "vitest";
import { brokerSeen } from "../../src/store/sessions.ts";
import { test } from "../support/db.ts";
import { givenJob, givenSeat } from "../support/jobs.ts";
import { A, ageIntents, B, C, FakeCloud, fakeBroker, intents } from "./fake-ec2.ts";

describe("when the loop starts one", () => {
  test("a due job that no live worker takes starts the first instance, once, and its worker ends the intent", async ({
    db,
  }) => {
    const cloud = new FakeCloud(A, B);
    const broker = fakeBroker(db, cloud);
    await givenJob(db);
    await broker.round();
    expect(cloud.starts).toEqual([]);
    broker.pass(10_000);
    await broker.rounds(3);
    expect(cloud.starts).toEqual([A]);
    expect(await intents(db)).toEqual([{ id: A, source: "loop", started: true, outcome: null }]);
    expect(broker.said).toEqual([
      expect.stringMatching(/^info: starting the instance: 1 due job of ocr, 10 s of work, for 0 seats/),
    ]);

    cloud.launch(A);
    await ageIntents(db, 75);
    await givenSeat(db, "s1", { workerId: "w1", types: ["ocr"] });
    await broker.rounds();
    expect(await intents(db)).toEqual([{ id: A, source: "loop", started: true, outcome: "connected" }]);
    expect(broker.said.at(-1)).toBe("info: the started instance's worker connected");
    expect(cloud.starts).toEqual([A]);
  });

  test("nothing due, nothing asked: neither EC2 nor the SDK", async ({ db }) => {
    const cloud = new FakeCloud(A);
    const broker = fakeBroker(db, cloud);
    await givenJob(db, { runAt: new Date("2999-01-01") });
    await broker.rounds(3);
    await givenSeat(db, "s1");
    await givenJob(db);
    await broker.rounds(3);
    expect({ opened: broker.opened(), describes: cloud.describes, said: broker.said }).toEqual({
      opened: 0,
      describes: 0,
      said: [],
    });
  });

  test("where none may be on its way the loop starts none", async ({ db }) => {
    const cloud = new FakeCloud(A);
    await givenJob(db);
    await fakeBroker(db, cloud, "b1", { ec2MaxStarts: 0 }).rounds(3);
    expect(cloud.starts).toEqual([]);
  });

  test("without ids there is no loop", ({ db }) => {
    expect(fakeBroker(db, new FakeCloud(), "b1", { ec2InstanceIds: [] }).loops).toEqual([]);
  });

  test("a need that passes within 10 s was a reconnect", async ({ db }) => {
    const cloud = new FakeCloud(A);
    const broker = fakeBroker(db, cloud);
    await givenJob(db);
    await broker.round();
    await givenSeat(db, "s1");
    await broker.rounds(1);
    await db.sql`DELETE FROM ai_session`;
    await broker.round();
    expect(cloud.starts).toEqual([]);
    broker.pass(10_000);
    await broker.round();
    expect(cloud.starts).toEqual([A]);
  });

  test("another is started while one is on its way only if more may be, and the work is worth it", async ({ db }) => {
    const cloud = new FakeCloud(A, B, C);
    const broker = fakeBroker(db, cloud, "b1", { ec2InstanceIds: [A, B, C], ec2MaxStarts: 2 });
    for (let n = 0; n < 8; n++) await givenJob(db);
    await broker.rounds(6);
    expect(cloud.starts).toEqual([A]);
    for (let n = 0; n < 100; n++) await givenJob(db);
    await broker.rounds(6);
    expect(cloud.starts).toEqual([A, B]);
  });

  test("an instance is not started again within its cool-down, nor for types that its worker did not take", async ({
    db,
  }) => {
    const cloud = new FakeCloud(A);
    const broker = fakeBroker(db, cloud, "b1", { ec2InstanceIds: [A] });
    await givenJob(db);
    await broker.rounds();
    await givenSeat(db, "s1", { workerId: "w1", types: ["embedding"] });
    await broker.rounds();
    expect(await intents(db)).toMatchObject([{ outcome: "connected" }]);

    await db.sql`DELETE FROM ai_session`;
    cloud.states.set(A, "stopped");
    await givenJob(db, { type: "embedding" });
    await broker.rounds(4);
    expect(cloud.starts).toEqual([A]);
    await db.sql`DELETE FROM ai_ready WHERE job_type = 'embedding'`;
    await ageIntents(db, 301);
    await broker.rounds(4);
    expect(cloud.starts).toEqual([A]);
    await givenJob(db, { type: "embedding" });
    await broker.rounds(4);
    expect(cloud.starts).toEqual([A, A]);
  });

  test("a dry run says what it would start, once a cool-down, and neither starts it nor writes anything", async ({
    db,
  }) => {
    const cloud = new FakeCloud(A);
    const broker = fakeBroker(db, cloud, "b1", { ec2DryRun: true });
    await givenJob(db);
    await broker.rounds(5);
    expect(broker.said).toEqual([expect.stringMatching(/^info: EC2_DRY_RUN: would start the instance: 1 due job/)]);
    broker.pass(300_000);
    await broker.rounds(1);
    expect(broker.said).toHaveLength(2);
    const reason = expect.stringMatching(/^1 due job of ocr/);
    expect(broker.dryRuns()).toEqual(Array(2).fill({ instanceId: A, reason, wantedAt: expect.any(Date) }));
    expect({ starts: cloud.starts, intents: await intents(db) }).toEqual({ starts: [], intents: [] });
  });
});

test("of its dry runs a broker keeps the last 50, the latest first", async ({ db }) => {
  const broker = fakeBroker(db, new FakeCloud(A), "b1", { ec2DryRun: true });
  for (let n = 1; n <= 52; n++) {
    await givenJob(db);
    await broker.rounds();
    broker.pass(300_000);
  }
  expect(broker.said).toHaveLength(52);
  const counts = broker.dryRuns().map(({ reason }) => Number.parseInt(reason, 10));
  expect(counts).toEqual(Array.from({ length: 50 }, (_, n) => 52 - n));
});

describe("what it does in each state", () => {
  test.for(["pending", "running"] as const)(
    "%s: it waits for the worker, calls nobody, and tells people once",
    async (state, { db }) => {
      const cloud = new FakeCloud(A, B);
      cloud.launch(A, state);
      const [broker, other] = [fakeBroker(db, cloud), fakeBroker(db, cloud, "b2")];
      await givenJob(db);
      await broker.rounds(3);
      expect(await intents(db)).toEqual([{ id: A, source: "found", started: true, outcome: null }]);
      cloud.launch(A);
      await ageIntents(db, 269);
      broker.pass(31_000);
      await broker.rounds(1);
      expect(broker.said.join()).not.toContain("no worker");
      await ageIntents(db, 2);
      for (let n = 0; n < 2; n++) {
        for (const one of [broker, other]) one.pass(31_000);
        await Promise.all([broker.rounds(1), other.rounds(1)]);
      }
      const told = [...broker.said, ...other.said].filter((line) =>
        line.startsWith("error: the instance runs but no worker"),
      );
      expect(told).toHaveLength(1);
      // It is not on its way any more: the next one may go.
      await broker.rounds();
      expect(cloud.starts).toEqual([B]);
    },
  );

  test("running, with a live worker that may be its own: the next id is tried", async ({ db }) => {
    const cloud = new FakeCloud(A, B);
    cloud.launch(A);
    await givenSeat(db, "s1", { types: ["embedding"] });
    await givenJob(db);
    await fakeBroker(db, cloud).rounds();
    expect(cloud.starts).toEqual([B]);
  });

  test("running, with its own worker by name: EC2 is not asked about it", async ({ db }) => {
    const cloud = new FakeCloud(A);
    cloud.launch(A);
    await givenSeat(db, "s1", { workerId: `ocr-${A}`, types: ["embedding"] });
    await givenJob(db);
    await fakeBroker(db, cloud, "b1", { ec2InstanceIds: [A] }).rounds(3);
    expect(cloud.describes).toBe(0);
  });

  test("stopping: left for later, the next id is tried, and it is started when it has stopped", async ({ db }) => {
    const cloud = new FakeCloud(A, B);
    cloud.states.set(A, "stopping");
    const broker = fakeBroker(db, cloud, "b1", { ec2InstanceIds: [A] });
    await givenJob(db);
    await broker.rounds(3);
    expect(await intents(db)).toEqual([]);
    cloud.states.set(A, "stopped");
    broker.pass(30_000);
    await broker.rounds(1);
    expect(cloud.starts).toEqual([A]);
  });

  test("a need that no instance is there for is asked about every 30 s, not every round", async ({ db }) => {
    const cloud = new FakeCloud();
    const broker = fakeBroker(db, cloud);
    await givenJob(db);
    await broker.rounds(1 + 3 * 10);
    expect(cloud.describes).toBe(10);
  });

  test("terminated or unknown: one error that names the id and what to do, and the next id is tried", async ({
    db,
  }) => {
    const cloud = new FakeCloud(A, C);
    cloud.states.set(A, "terminated");
    const broker = fakeBroker(db, cloud, "b1", { ec2InstanceIds: [A, B] });
    await givenJob(db);
    await broker.rounds(4);
    expect(broker.said).toEqual([
      `error: ${A} is terminated: take it out of EC2_WORKER_INSTANCE_IDS, or set EC2_REGION (now ap-northeast-2) to where it is`,
      expect.stringMatching(`^error: EC2 knows no instance ${B}: take it out of`),
    ]);
    const third = fakeBroker(db, cloud, "b2", { ec2InstanceIds: [A, B, C] });
    await third.rounds();
    expect(cloud.starts).toEqual([C]);
  });

  test("stopped again before its worker came: said, and left alone for the cool-down", async ({ db }) => {
    const cloud = new FakeCloud(A);
    const broker = fakeBroker(db, cloud, "b1", { ec2InstanceIds: [A] });
    await givenJob(db);
    await broker.rounds();
    cloud.states.set(A, "stopped");
    await ageIntents(db, 91);
    broker.pass(31_000);
    await broker.rounds(3);
    expect(await intents(db)).toMatchObject([{ outcome: "stopped" }]);
    expect(broker.said.at(-1)).toMatch(/^warn: the instance stopped before its worker had connected/);
    expect(cloud.starts).toEqual([A]);
    await ageIntents(db, 301);
    await broker.rounds();
    expect(cloud.starts).toEqual([A, A]);
  });

  test("terminated while its worker is waited for: an error, and the next id", async ({ db }) => {
    const cloud = new FakeCloud(A, B);
    const broker = fakeBroker(db, cloud);
    await givenJob(db);
    await broker.rounds();
    cloud.states.set(A, "terminated");
    await ageIntents(db, 91);
    broker.pass(31_000);
    await broker.rounds(3);
    expect(broker.said).toContainEqual(expect.stringMatching(`^error: ${A} is terminated: take it out`));
    expect(cloud.starts).toEqual([A, B]);
  });
});

test("the worker of an alerted instance ends its intent after all", async ({ db }) => {
  const cloud = new FakeCloud(A);
  const broker = fakeBroker(db, cloud, "b1", { ec2InstanceIds: [A] });
  await givenJob(db);
  await broker.rounds();
  cloud.launch(A);
  await ageIntents(db, 300);
  broker.pass(31_000);
  await broker.rounds(2);
  expect(broker.said.at(-1)).toMatch(/^error: the instance runs but no worker/);
  await brokerSeen(db.sql, "broker-1");
  await givenSeat(db, "s1", { workerId: `ocr-${A}`, types: ["ocr"] });
  await broker.rounds(1);
  expect(await intents(db)).toMatchObject([{ outcome: "connected" }]);
});
