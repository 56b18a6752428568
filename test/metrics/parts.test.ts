/** What counts, without a broker. */
import { expect, test } from "vitest";
import { Lately } from "../../src/dispatch/lately.ts";
import { createQueueReading } from "../../src/metrics/queue-reading.ts";
import { Spread } from "../../src/metrics/spread.ts";
import { Tally } from "../../src/metrics/tally.ts";
import { NO_TYPE, OTHER, TypeNames } from "../../src/metrics/type-names.ts";

test("a tally counts by name and outcome, and adds up over names", () => {
  const tally = new Tally(["done", "failed"]);
  tally.add("ocr", "done");
  tally.add("ocr", "done", 2);
  tally.add("math", "failed");
  tally.add("ocr", "unheard of" as "done");
  expect([...tally]).toEqual([
    { name: "ocr", outcome: "done", count: 3 },
    { name: "math", outcome: "failed", count: 1 },
  ]);
  expect([tally.total("done"), tally.total("failed")]).toEqual([3, 1]);
});

test("a value on a bound counts for that bound, and each bound counts all below it", () => {
  const spread = new Spread([1, 5]);
  for (const value of [0.5, 1, 1.5, 5, 99, -3]) spread.observe("a", value);
  expect([...spread]).toEqual([{ name: "a", counts: [3, 5], count: 6, sum: 107 }]);
});

test("the first hundred job types have their names, all others share one", () => {
  const names = new TypeNames();
  const labels = Array.from({ length: 5_000 }, (_, at) => names.of(`type-${at}`));
  expect(new Set(labels).size).toBe(101);
  expect([labels[99], labels[100], labels[4_999]]).toEqual(["type-99", OTHER, OTHER]);
  expect([names.of("type-7"), names.of(null)]).toEqual(["type-7", NO_TYPE]);
});

test("a note on a lease is taken once, and the oldest go when there are too many", () => {
  const notes = new Lately<number>(2);
  notes.set("a", 0);
  notes.set("b", 1);
  notes.set("c", 2);
  expect([notes.take("a"), notes.take("b"), notes.take("b"), notes.take(null), notes.size]).toEqual([
    undefined,
    1,
    undefined,
    undefined,
    1,
  ]);
});

/** A database that answers when the test says so, and its clock. */
function givenReading() {
  const clock = { now: 0 };
  const asked: { answer(numbers: number): void; fail(): void }[] = [];
  const reading = createQueueReading({
    read: () =>
      new Promise<number>((resolve, reject) => {
        asked.push({ answer: resolve, fail: () => reject(new Error("away")) });
      }),
    now: () => clock.now,
    waitMs: 20,
  });
  return { clock, asked, reading };
}

test("scrapes at the same time ask the database once, and those soon after not at all", async () => {
  const { clock, asked, reading } = givenReading();
  const both = [reading.latest(), reading.latest()];
  asked[0]?.answer(7);
  expect(await Promise.all(both)).toEqual([7, 7]);
  clock.now = 4_999;
  expect(await reading.latest()).toBe(7);
  expect(asked).toHaveLength(1);
  clock.now = 5_000;
  const later = reading.latest();
  asked[1]?.answer(8);
  expect(await later).toBe(8);
});

test("numbers that took long to get are used the longer", async () => {
  const { clock, asked, reading } = givenReading();
  const first = reading.latest();
  clock.now = 2_000;
  asked[0]?.answer(1);
  expect(await first).toBe(1);
  clock.now = 2_000 + 39_000;
  expect(await reading.latest()).toBe(1);
  expect(asked).toHaveLength(1);
});

test("a scrape does not wait for a database that is away: it gets the last numbers, and after a minute none", async () => {
  const { clock, asked, reading } = givenReading();
  expect(await reading.latest()).toBeUndefined();
  asked[0]?.answer(3);
  clock.now = 10;
  expect(await reading.latest()).toBe(3);
  clock.now = 30_000;
  const failing = reading.latest();
  asked[1]?.fail();
  expect(await failing).toBe(3);
  clock.now = 61_000;
  expect(await reading.latest()).toBeUndefined();
  expect(asked).toHaveLength(3);
});
