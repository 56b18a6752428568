/** The pure parts of the SDK: back-off, addresses, ids, JSON texts, seats, leases, the limit of messages. */
import { describe, expect, test } from "vitest";
import { createAddresses } from "../../src/client/addresses.ts";
import { backoffMs } from "../../src/client/backoff.ts";
import { Cancelled, LeaseLost, Shutdown } from "../../src/client/failures.ts";
import { FrameBudget } from "../../src/client/frame-budget.ts";
import { newJobId } from "../../src/client/job-id.ts";
import { jsonObject, storableText } from "../../src/client/json-text.ts";
import { Lease } from "../../src/client/lease-book.ts";
import { Seats } from "../../src/client/seats.ts";

describe("back-off", () => {
  test("its limit doubles from 100 ms up to 10 s", () => {
    const limits = [1, 2, 3, 4, 5, 6, 7, 8, 9, 1_000].map((failures) => backoffMs(failures, 1));
    expect(limits).toEqual([100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000, 10_000]);
  });

  test("it is any time below its limit, on top of what the broker asked for", () => {
    expect(backoffMs(3, 0)).toBe(0);
    expect(backoffMs(3, 0.5)).toBe(200);
    expect(backoffMs(3, 0.5, 2_000)).toBe(2_200);
  });
});

describe("addresses", () => {
  test("they begin anywhere and go round", () => {
    const addresses = createAddresses(["http://a:1", "http://b:2", "https://c/"], () => 0.5);
    const seen = [addresses.current, addresses.next(), addresses.next(), addresses.next()];
    expect(seen).toEqual(["http://b:2", "https://c", "http://a:1", "http://b:2"]);
  });

  test.each([["localhost:50051"], ["ftp://a"], [""], []])(
    "an address that cannot be is refused by name: %s",
    (...urls) => {
      expect(() => createAddresses(urls as string[])).toThrow(/^url: /);
    },
  );
});

describe("a job's id", () => {
  test("is a UUIDv7 of its time", () => {
    const id = newJobId(0x0123456789ab);
    expect(id).toMatch(/^01234567-89ab-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(newJobId(1) < newJobId(2)).toBe(true);
    expect(new Set(Array.from({ length: 1_000 }, () => newJobId(1))).size).toBe(1_000);
  });
});

describe("a result as JSON", () => {
  test("text about an escape is no escape", () => {
    const value = { path: "C:\\u0000", other: "\\\\ud800", emoji: "😀" };
    expect(JSON.parse(jsonObject(value, "it"))).toEqual(value);
  });

  const loop: { self?: unknown } = {};
  loop.self = loop;
  const deep = (levels: number): object => (levels === 1 ? {} : { a: deep(levels - 1) });

  test.each([
    ["a bigint", { n: 1n }, "cannot be written as JSON"],
    ["a cycle", loop, "cannot be written as JSON"],
    ["an array", [1], "got an array"],
    ["null", null, "got null"],
    ["a text", "x", "got a string"],
    ["a Date", new Date(0), "toJSON"],
    ["U+0000", { a: { b: "x\0y" } }, "U+0000"],
    ["U+0000 behind a backslash", { a: "\\\0" }, "U+0000"],
    ["half a pair", { a: "\ud83d" }, "surrogate"],
    ["65 levels", deep(65), "64 levels"],
  ])("%s is refused in words", (_, value, words) => {
    expect(() => jsonObject(value, "the result")).toThrow(TypeError);
    expect(() => jsonObject(value, "the result")).toThrow(words);
  });

  test("64 levels, with brackets in texts, are fine", () => {
    expect(jsonObject({ ...deep(64), text: '[[[{{{"[' }, "it")).toContain("[[[");
  });

  test("a text for the database is cut between characters, with its unstorable parts replaced", () => {
    expect(storableText("a\0b\ud83dc", 10)).toBe("a\u{fffd}b\u{fffd}c");
    expect(storableText("aa😀", 3)).toBe("aa");
    expect(storableText("aa😀", 4)).toBe("aa😀");
  });
});

describe("seats", () => {
  const lease = (leaseToken: string) => new Lease({ jobId: "j", leaseToken });
  const given = () =>
    new Seats(
      3,
      new Map([
        ["ocr", 2],
        ["embedding", 2],
      ]),
    );

  test("neither a type's limit nor that of all is passed", () => {
    const seats = given();
    expect([seats.take(lease("1"), "ocr"), seats.take(lease("2"), "ocr")].every(Boolean)).toBe(true);
    expect(seats.take(lease("3"), "ocr")).toBeUndefined();
    expect(seats.free()).toEqual({ types: ["embedding"], count: 1 });
    expect(seats.take(lease("4"), "embedding")).toBeDefined();
    expect(seats.take(lease("5"), "embedding")).toBeUndefined();
    expect(seats.take(lease("6"), "other")).toBeUndefined();
    expect(seats.free()).toEqual({ types: [], count: 0 });
  });

  test("as many jobs of any mix are free as would all find a seat", () => {
    expect(given().free()).toEqual({ types: ["ocr", "embedding"], count: 2 });
  });

  test("a handler whose lease is lost keeps its seat, which the broker is told to leave alone", () => {
    const seats = given();
    const seat = seats.take(lease("1"), "ocr");
    seats.lose("1");
    seats.lose("1");
    expect(seats.room()).toEqual({ maxInFlight: 2, maxByType: { ocr: 1, embedding: 2 } });
    expect(seats.leave(seat!)).toBe(true);
    expect(seats.leave(seat!)).toBe(false);
    expect(seats.room()).toEqual({ maxInFlight: 3, maxByType: { ocr: 2, embedding: 2 } });
  });

  test("closed, there is none", () => {
    const seats = given();
    seats.close();
    expect(seats.take(lease("1"), "ocr")).toBeUndefined();
    expect(seats.room().maxInFlight).toBe(0);
  });

  test("the room is the same object until the lease of a seat is lost, such a seat is left, or it is closed", () => {
    const seats = given();
    const first = seats.room();
    const kept = seats.take(lease("1"), "ocr");
    const lost = seats.take(lease("2"), "embedding");
    expect(seats.leave(kept!)).toBe(true);
    seats.lose("1");
    seats.lose("unknown");
    expect(seats.room()).toBe(first);

    seats.lose("2");
    const fewer = seats.room();
    expect(fewer).toEqual({ maxInFlight: 2, maxByType: { ocr: 2, embedding: 1 } });
    expect(seats.room()).toBe(fewer);
    seats.leave(seats.take(lease("3"), "ocr")!);
    expect(seats.room()).toBe(fewer);

    seats.leave(lost!);
    const again = seats.room();
    expect(again).toEqual(first);
    expect(seats.room()).toBe(again);

    seats.close();
    expect(seats.room()).toEqual({ maxInFlight: 0, maxByType: { ocr: 2, embedding: 2 } });
    expect(seats.room()).toBe(seats.room());
    expect(first).toEqual({ maxInFlight: 3, maxByType: { ocr: 2, embedding: 2 } });
  });
});

describe("a lease", () => {
  const given = () => new Lease({ jobId: "j", leaseToken: "t" });

  test("tells why its handler is to stop, though nobody has asked for the signal", () => {
    const lease = given();
    expect(lease.reason).toBeUndefined();
    const reason = new Cancelled("enough");
    lease.abort(reason);
    expect(lease.reason).toBe(reason);
    expect(lease.isLost).toBe(false);
  });

  test("a signal that is asked for afterwards is aborted, with the first reason", () => {
    const lease = given();
    const reason = new Shutdown("the worker stops");
    lease.abort(reason);
    lease.lose();
    expect(lease.signal.aborted).toBe(true);
    expect(lease.signal.reason).toBe(reason);
    lease.abort(new Cancelled("enough"));
    expect([lease.signal.reason, lease.reason]).toEqual([reason, reason]);
    expect(lease.isLost).toBe(true);
  });

  test("a signal that was asked for before is the same one, and is aborted once", () => {
    const lease = given();
    const { signal } = lease;
    const heard: unknown[] = [];
    signal.addEventListener("abort", () => heard.push(signal.reason));
    expect(signal.aborted).toBe(false);
    lease.lose();
    lease.abort(new Shutdown("the worker stops"));
    expect(lease.signal).toBe(signal);
    expect(heard).toEqual([expect.any(LeaseLost)]);
    expect(lease.reason).toBe(heard[0]);
  });
});

describe("the limit of messages", () => {
  test("whoever sends as soon as it is allowed stays below it in every second", () => {
    const budget = new FrameBudget(100, 0);
    const sentAt: number[] = [];
    for (let now = 0; now < 3_000; now += 1) {
      while (budget.waitMs(now) === 0) {
        budget.spend(now);
        sentAt.push(now);
      }
    }
    const busiest = Math.max(...sentAt.map((from) => sentAt.filter((at) => at >= from && at < from + 1_000).length));
    expect(busiest).toBeLessThanOrEqual(100);
    expect(sentAt.length).toBeGreaterThan(200);
  });

  test("without one nobody waits", () => {
    const budget = new FrameBudget(0, 0);
    for (let count = 0; count < 10_000; count += 1) budget.spend(0);
    expect(budget.waitMs(0)).toBe(0);
  });
});
