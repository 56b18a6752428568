import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Hands, needOf, type Queue, wordsOf } from "../../src/job/ec2-need.ts";

const hands = (more: Partial<Hands> = {}): Hands => ({ types: [], seats: 1, free: 0, ...more });

function queue(more: Partial<Queue> = {}): Queue {
  return {
    due: [{ type: "ocr", count: 1 }],
    hands: [],
    medianMs: new Map([["ocr", 2_000]]),
    jobMs: 10_000,
    bootMs: 90_000,
    onTheWay: 0,
    ...more,
  };
}

describe("a start pays", () => {
  test("for a single short job that no live worker takes", () => {
    expect(needOf(queue())).toEqual({ types: ["ocr"], jobs: 1, workMs: 2_000, seats: 0 });
    const others = queue({ hands: [hands({ types: ["embedding"], seats: 8, free: 8 })] });
    expect(needOf(others)).toMatchObject({ types: ["ocr"], seats: 0 });
  });

  test("not for jobs that live workers have free seats for", () => {
    expect(needOf(queue({ hands: [hands({ free: 1 })] }))).toBeNull();
    expect(
      needOf(queue({ due: [{ type: "ocr", count: 5 }], hands: [hands({ types: ["ocr"], seats: 9, free: 5 })] })),
    ).toBeNull();
  });

  test("where busy workers would need longer than a boot, and not before", () => {
    const busy = [hands({ types: ["ocr", "embedding"], seats: 2 })];
    expect(needOf(queue({ due: [{ type: "ocr", count: 90 }], hands: busy }))).toBeNull();
    expect(needOf(queue({ due: [{ type: "ocr", count: 91 }], hands: busy }))).toMatchObject({
      workMs: 182_000,
      seats: 2,
    });
  });

  test("beside one on its way only if that one had more than a boot's work to do", () => {
    expect(needOf(queue({ onTheWay: 1 }))).toBeNull();
    expect(needOf(queue({ onTheWay: 1, due: [{ type: "ocr", count: 46 }] }))).toMatchObject({ seats: 1 });
  });

  test("for types together, where workers share them and none alone is enough", () => {
    const due = [
      { type: "ocr", count: 30 },
      { type: "embedding", count: 4 },
    ];
    const shared = queue({ due, hands: [hands()] });
    expect(needOf(shared)).toEqual({ types: ["ocr", "embedding"], jobs: 34, workMs: 100_000, seats: 1 });
  });

  test("only for types that the instance's worker takes", () => {
    expect(needOf(queue(), (type) => type !== "ocr")).toBeNull();
  });

  test("by the default where a type has never been done", () => {
    expect(needOf(queue({ due: [{ type: "new", count: 3 }] }))).toMatchObject({ workMs: 30_000 });
  });

  test("never with nothing due, and more seats never make a start pay that did not", () => {
    expect(needOf(queue({ due: [] }))).toBeNull();
    const count = fc.integer({ min: 0, max: 500 });
    fc.assert(
      fc.property(count, count, count, count, (jobs, seats, free, more) => {
        const at = (all: number) =>
          needOf(
            queue({ due: [{ type: "ocr", count: jobs }], hands: [hands({ seats: all, free: Math.min(free, all) })] }),
          );
        if (at(seats) === null) expect(at(seats + more)).toBeNull();
      }),
    );
  });
});

test("the reason reads as a sentence", () => {
  const need = { types: ["ocr"], jobs: 1, workMs: 2_000, seats: 0 };
  expect(wordsOf(need, 90_000)).toBe("1 due job of ocr, 2 s of work, for 0 seats; an instance is up in 90 s");
  const many = { types: ["a", "b", "c", "d", "e", "f"], jobs: 3, workMs: 1, seats: 1 };
  expect(wordsOf(many, 1_000)).toContain("3 due jobs of a, b, c, d, e, …, 0 s");
});
