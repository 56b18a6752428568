/** One start for one intent: over brokers that race, brokers that die at every point, and answers that are lost. */
import pino from "pino";
import { expect } from "vitest";
import { ec2Api } from "../../src/loops/ec2-api.ts";
import { callStart } from "../../src/loops/ec2-call.ts";
import { ec2Context } from "../../src/loops/ec2-context.ts";
import { openIntent, recordStarted } from "../../src/store/ec2.ts";
import { test } from "../support/db.ts";
import { givenJob, givenSeat } from "../support/jobs.ts";
import { A, ageIntents, B, FakeCloud, fakeBroker, intents, SETTINGS } from "./fake-ec2.ts";

/** The row as a broker leaves it that dies between the insert and the call. */
async function leftUncalled(db: Parameters<typeof openIntent>[0]): Promise<number> {
  const launchedBefore = new Date("2026-01-01T00:00:00Z");
  const opening = { instanceId: A, source: "loop", reason: "", brokerId: "dead", launchedBefore } as const;
  const turn = await openIntent(db, { ...opening, knownWorkers: [] });
  return turn!.intentId;
}

test("of many brokers with the same need one starts one instance", async ({ db }) => {
  const cloud = new FakeCloud(A, B);
  const brokers = Array.from({ length: 6 }, (_, n) => fakeBroker(db, cloud, `b${n}`, { ec2MaxStarts: 5 }));
  await givenJob(db);
  for (let n = 0; n < 4; n++) await Promise.all(brokers.map((broker) => broker.rounds(1)));
  expect(cloud.starts).toEqual([A]);
  expect(await intents(db)).toHaveLength(1);
});

test("brokers that would choose different instances for the same need still start one", async ({ db }) => {
  const cloud = new FakeCloud(A, B);
  const brokers = [A, B, A, B].map((first, n) => {
    const ids = [first, first === A ? B : A];
    return fakeBroker(db, cloud, `b${n}`, { ec2InstanceIds: ids, ec2MaxStarts: 5 });
  });
  await givenJob(db);
  for (let n = 0; n < 4; n++) await Promise.all(brokers.map((broker) => broker.rounds(1)));
  expect(cloud.starts).toHaveLength(1);
});

test("of the loop and people who ask at the same moment one starts it, and the others say so", async ({ db }) => {
  const cloud = new FakeCloud(A);
  const brokers = Array.from({ length: 5 }, (_, n) => fakeBroker(db, cloud, `b${n}`, { ec2InstanceIds: [A] }));
  await givenJob(db);
  for (const broker of brokers) await broker.rounds(1);
  const [, ...answers] = await Promise.all([brokers[0]!.round(), ...brokers.map((broker) => broker.start([]))]);
  expect(cloud.starts).toEqual([A]);
  for (const [answer] of answers) expect(["STARTED", "RUNNING", "IN_PROGRESS"]).toContain(answer?.status);
});

test("a broker dies before its call: after a minute one of the others makes it", async ({ db }) => {
  const cloud = new FakeCloud(A);
  await leftUncalled(db.sql);
  const brokers = ["b1", "b2", "b3"].map((id) => fakeBroker(db, cloud, id));
  await givenJob(db);
  for (const broker of brokers) await broker.rounds(3);
  expect(cloud.starts).toEqual([]);
  await ageIntents(db, 61);
  for (let n = 0; n < 3; n++) await Promise.all(brokers.map((broker) => broker.rounds(1)));
  expect(cloud.starts).toEqual([A]);
  expect(await intents(db)).toEqual([{ id: A, source: "loop", started: true, outcome: null }]);
});

test("a broker dies after its call: nobody makes it again", async ({ db }) => {
  const cloud = new FakeCloud(A);
  await leftUncalled(db.sql);
  cloud.launch(A, "pending");
  await ageIntents(db, 61);
  const [one, two] = [fakeBroker(db, cloud), fakeBroker(db, cloud, "b2")];
  await Promise.all([one.rounds(), two.rounds()]);
  expect(cloud.starts).toEqual([]);
  expect(await intents(db)).toEqual([{ id: A, source: "loop", started: true, outcome: null }]);
});

test("a broker dies after its call, and the instance has been used and stopped since: not started for this intent", async ({
  db,
}) => {
  const cloud = new FakeCloud(A);
  await leftUncalled(db.sql);
  cloud.launch(A);
  cloud.states.set(A, "stopped");
  await ageIntents(db, 61);
  const broker = fakeBroker(db, cloud, "b1", { ec2InstanceIds: [A] });
  await givenJob(db);
  await broker.rounds(3);
  expect(cloud.starts).toEqual([]);
  expect(await intents(db)).toEqual([{ id: A, source: "loop", started: false, outcome: "stopped" }]);
});

test("the answer to a start is lost: what EC2 shows later tells that it was made", async ({ db }) => {
  const cloud = new FakeCloud(A);
  cloud.losesAnswers = true;
  const broker = fakeBroker(db, cloud);
  await givenJob(db);
  await broker.rounds(3);
  expect(await intents(db)).toEqual([{ id: A, source: "loop", started: false, outcome: null }]);
  expect(broker.said.at(-1)).toMatch(/^error: the instance was not started: ec2:StartInstances: socket hang up/);
  await ageIntents(db, 61);
  broker.pass(61_000);
  await broker.rounds();
  expect(cloud.starts).toEqual([A]);
  expect(await intents(db)).toEqual([{ id: A, source: "loop", started: true, outcome: null }]);
});

test("no answer ever: five tries, each a turn apart, then an error and a rest", async ({ db }) => {
  const cloud = new FakeCloud(A);
  cloud.startFaults.set(A, Object.assign(new Error("no route"), { code: "EHOSTUNREACH" }));
  const broker = fakeBroker(db, cloud, "b1", { ec2InstanceIds: [A] });
  await givenJob(db);
  for (let n = 0; n < 10; n++) {
    await broker.rounds(2);
    await ageIntents(db, 61);
    broker.pass(600_000);
  }
  expect(broker.said.filter((line) => line.includes("no route"))).toHaveLength(5);
  expect(broker.said.at(-1)).toBe("error: no start of the instance was ever answered; is EC2 reachable from here?");
  expect(await intents(db)).toMatchObject([{ outcome: "failed" }]);
});

test("a broker that was frozen for half its turn makes no call", async ({ db }) => {
  const cloud = new FakeCloud(A);
  const openApi = async () => ec2Api(cloud.client());
  const ctx = ec2Context({ db, brokerId: "dead", log: pino({ level: "silent" }), settings: SETTINGS, openApi });
  const turn = { intentId: await leftUncalled(db.sql), brokerId: "dead", tries: 1 };
  expect(await callStart(ctx, turn, A, ctx.now() - 30_001)).toMatchObject({ status: "IN_PROGRESS" });
  expect(cloud.starts).toEqual([]);
  expect(await callStart(ctx, turn, A, ctx.now())).toMatchObject({ status: "STARTED" });
  expect(cloud.starts).toEqual([A]);
});

test("a start that is known is never called for again, though EC2 goes on telling 'stopped'", async ({ db }) => {
  const cloud = new FakeCloud(A);
  const id = await leftUncalled(db.sql);
  await recordStarted(db.sql, id);
  const broker = fakeBroker(db, cloud, "b1", { ec2InstanceIds: [A], ec2BootMs: 1 });
  await givenJob(db);
  await broker.rounds(4);
  await ageIntents(db, 61);
  broker.pass(31_000);
  await broker.rounds(4);
  expect(cloud.starts).toEqual([]);
  expect(await intents(db)).toMatchObject([{ outcome: "stopped" }]);
});

test("the clock of a broker that is an hour off changes nothing: all times are the database's", async ({ db }) => {
  const cloud = new FakeCloud(A);
  const [one, two] = [fakeBroker(db, cloud), fakeBroker(db, cloud, "b2")];
  two.pass(3_600_000);
  await givenJob(db);
  for (let n = 0; n < 4; n++) await Promise.all([one.rounds(1), two.rounds(1)]);
  expect(cloud.starts).toEqual([A]);
  await givenSeat(db, "s1");
  await Promise.all([one.rounds(1), two.rounds(1)]);
  const arrivals = [...one.said, ...two.said].filter((line) => line.includes("worker connected"));
  expect(arrivals).toHaveLength(1);
});
