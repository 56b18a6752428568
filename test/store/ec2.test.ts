import { expect } from "vitest";
import type { Database } from "../../src/store/db.ts";
import {
  endIntent,
  forgetIntents,
  type Opening,
  openIntent,
  recordAlert,
  recordArrival,
  recordStarted,
  takeOver,
} from "../../src/store/ec2.ts";
import { memoriesOf, newcomers, openIntents } from "../../src/store/ec2-view.ts";
import { test } from "../support/db.ts";
import { givenSeat } from "../support/jobs.ts";

const A = "i-0000000a";
const B = "i-0000000b";
const LAUNCHED = new Date("2026-01-01T00:00:00Z");

const opening = (more: Partial<Opening> = {}): Opening => ({
  instanceId: A,
  source: "loop",
  reason: "9 due jobs",
  brokerId: "b1",
  launchedBefore: LAUNCHED,
  knownWorkers: [],
  ...more,
});

/** Lets the turn of every open intent run out. */
const turnsEnd = (db: Database) => db.sql`UPDATE ai_ec2_intent SET call_until = now() - interval '1 second'`;

async function given(db: Database, more: Partial<Opening> = {}): Promise<number> {
  const turn = await openIntent(db.sql, opening(more));
  if (turn === null) throw new Error("not opened");
  return turn.intentId;
}

test("of many brokers that open an intent for one instance at once, one does", async ({ db }) => {
  const turns = await Promise.all(
    Array.from({ length: 10 }, (_, n) => openIntent(db.sql, opening({ brokerId: `b${n}` }))),
  );
  expect(turns.filter((turn) => turn !== null)).toHaveLength(1);
  expect((await openIntents(db)).open).toMatchObject([
    {
      instanceId: A,
      launchedBefore: LAUNCHED,
      startedAgoMs: null,
      isFound: false,
      isAlerted: false,
      tries: 1,
      isLeft: false,
    },
  ]);
});

test("of many that decided at once for different instances, one opens: the others did not know of it", async ({
  db,
}) => {
  const { newestId } = await openIntents(db);
  const ids = Array.from({ length: 10 }, (_, n) => `i-0000000${n}`);
  const turns = await Promise.all(
    ids.map((instanceId) => openIntent(db.sql, opening({ instanceId, basis: { newestId, maxStarts: 99 } }))),
  );
  expect(turns.filter((turn) => turn !== null)).toHaveLength(1);
});

test("no more are on their way than may be, and one that people were told of is not on its way", async ({ db }) => {
  const first = await given(db);
  const next = (newestId: number) => openIntent(db.sql, opening({ instanceId: B, basis: { newestId, maxStarts: 1 } }));
  expect(await next(first)).toBeNull();
  await recordStarted(db.sql, first);
  expect(await recordAlert(db.sql, first)).toBe(true);
  expect(await next(first)).not.toBeNull();
});

test("a call that was left is taken over by one of many, and not before its turn is over", async ({ db }) => {
  await given(db);
  const [seen] = (await openIntents(db)).open;
  expect(await takeOver(db.sql, seen!, "b2")).toBeNull();
  await turnsEnd(db);
  const turns = await Promise.all(Array.from({ length: 10 }, (_, n) => takeOver(db.sql, seen!, `b${n}`)));
  expect(turns.filter((turn) => turn !== null)).toMatchObject([{ tries: 2 }]);
});

test("who looked before somebody else's turn takes nothing over, even when that turn is over, too", async ({ db }) => {
  await given(db);
  await turnsEnd(db);
  const [old] = (await openIntents(db)).open;
  expect(await takeOver(db.sql, old!, "b2")).not.toBeNull();
  await turnsEnd(db);
  expect(await takeOver(db.sql, old!, "b3")).toBeNull();
});

test("a start that is written down is taken over by nobody", async ({ db }) => {
  const id = await given(db);
  await recordStarted(db.sql, id);
  await turnsEnd(db);
  expect((await openIntents(db)).open).toMatchObject([{ isLeft: false, startedAgoMs: expect.any(Number) }]);
  expect(await takeOver(db.sql, { id, tries: 1 }, "b2")).toBeNull();
});

test("a late word of a failed call changes nothing once the turn is another's, or the start is known", async ({
  db,
}) => {
  const turn = await openIntent(db.sql, opening());
  await turnsEnd(db);
  await takeOver(db.sql, { id: turn!.intentId, tries: 1 }, "b2");
  const fail = (more: object) => endIntent(db.sql, turn!.intentId, { outcome: "capacity", restMs: 1_000, ...more });
  expect(await fail({ turn })).toBe(false);
  await recordStarted(db.sql, turn!.intentId);
  expect(await fail({ turn: { intentId: turn!.intentId, brokerId: "b2", tries: 2 } })).toBe(false);
  expect(await fail({})).toBe(true);
  expect(await fail({})).toBe(false);
});

test("people are told once, by whichever broker is first", async ({ db }) => {
  const id = await given(db);
  const told = await Promise.all(Array.from({ length: 5 }, () => recordAlert(db.sql, id)));
  expect(told.filter(Boolean)).toHaveLength(1);
});

test("a worker that was not there before is a newcomer, until it is some intent's", async ({ db }) => {
  await givenSeat(db, "s1", { workerId: "old" });
  const id = await given(db, { knownWorkers: ["old"] });
  await givenSeat(db, "s2", { workerId: "new", types: ["ocr", 'a "b"'] });
  expect(await newcomers(db)).toEqual([]);
  await recordStarted(db.sql, id);
  expect(await newcomers(db)).toEqual([{ intentId: id, workerId: "new", types: ["ocr", 'a "b"'] }]);

  const arrival = { intentId: id, workerId: "new", types: ["ocr", 'a "b"'] };
  expect(await recordArrival(db.sql, arrival, 60_000)).toEqual({ bootMs: expect.any(Number) });
  expect(await recordArrival(db.sql, arrival, 60_000)).toBeNull();
  const second = await given(db, { instanceId: B, source: "found" });
  await db.sql`UPDATE ai_ec2_intent SET wanted_at = wanted_at - interval '1 minute' WHERE id = ${second}`;
  expect((await newcomers(db)).map(({ workerId }) => workerId)).toEqual(["old"]);
  expect(await recordArrival(db.sql, { ...arrival, intentId: second }, 60_000)).toBeNull();
});

test("an instance rests after its intent, and is remembered with its worker and that one's types", async ({ db }) => {
  const id = await given(db);
  await recordStarted(db.sql, id);
  await givenSeat(db, "s1", { workerId: "w1" });
  await givenSeat(db, "s2", { workerId: `ocr-${B}` });
  await givenSeat(db, "s3", { workerId: "laptop" });
  await recordArrival(db.sql, { intentId: id, workerId: "w1", types: ["ocr"] }, 60_000);
  expect(await memoriesOf(db, [B, A, "i-0000000c"])).toEqual({
    strangers: 1,
    instances: [
      { instanceId: B, isResting: false, types: null, isWorking: true },
      { instanceId: A, isResting: true, types: ["ocr"], isWorking: true },
      { instanceId: "i-0000000c", isResting: false, types: null, isWorking: false },
    ],
  });
  await db.sql`UPDATE ai_ec2_intent SET rest_until = now()`;
  await db.sql`UPDATE ai_broker SET seen_at = now() - interval '1 hour'`;
  expect(await memoriesOf(db, [A])).toMatchObject({
    strangers: 0,
    instances: [{ isResting: false, types: ["ocr"], isWorking: false }],
  });
  await db.sql`UPDATE ai_ec2_intent SET ended_at = now() - interval '25 hours'`;
  expect((await memoriesOf(db, [A])).instances).toMatchObject([{ types: null }]);
});

test("old intents are forgotten, open ones never", async ({ db }) => {
  await given(db);
  await endIntent(db.sql, await given(db, { instanceId: B }), { outcome: "stopped", restMs: 0 });
  await db.sql`UPDATE ai_ec2_intent SET wanted_at = now() - interval '1 year', ended_at = ended_at - interval '91 days'`;
  await forgetIntents(db.sql);
  expect(await db.sql`SELECT instance_id FROM ai_ec2_intent`).toEqual([{ instance_id: A }]);
});
