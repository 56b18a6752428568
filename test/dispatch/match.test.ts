import { describe, expect, test } from "vitest";
import { type Known, match, type Seated } from "../../src/dispatch/match.ts";

const worker = (more: Partial<Seated> & { limits?: Record<string, number> } = {}): Seated => ({
  types: [],
  free: 1,
  load: 0,
  freeByType: new Map(Object.entries(more.limits ?? {})),
  ...more,
});

const UNKNOWN: Known = { expected: () => Number.POSITIVE_INFINITY, list: () => undefined };
const due = (counts: Record<string, number>): Known => ({
  expected: (type) => counts[type] ?? 0,
  list: () => Object.keys(counts).filter((type) => (counts[type] ?? 0) > 0),
});
const groups = (workers: Seated[], known: Known, most = 100) => match(workers, known, most).groups;

describe("who comes first", () => {
  test("the least loaded comes first, and each job given counts as load", () => {
    const loads = [2, 0, 1].map((load) => worker({ types: ["a"], free: 2, load }));
    expect(groups(loads, due({ a: 9 }))).toEqual([{ types: ["a"], seats: [1, 1, 2, 0, 2, 0] }]);
  });

  test("workers with equal loads are served in the order given", () => {
    const equal = [1, 1, 1].map((load) => worker({ types: ["a"], load }));
    expect(groups(equal, due({ a: 2 }))).toEqual([{ types: ["a"], seats: [0, 1] }]);
  });

  test("groups of few types come first: whoever takes anything does not take a specialist's only job", () => {
    const all = [worker(), worker({ types: ["a", "b"] }), worker({ types: ["a"] })];
    expect(groups(all, UNKNOWN)).toEqual([
      { types: ["a"], seats: [2] },
      { types: ["a", "b"], seats: [1] },
      { types: [], seats: [0] },
    ]);
  });

  test("workers who may take the same types share one claim, however they wrote them", () => {
    const all = [worker({ types: ["b", "a"] }), worker({ types: ["a", "b"] })];
    expect(groups(all, UNKNOWN)).toEqual([{ types: ["a", "b"], seats: [0, 1] }]);
  });
});

describe("how many seats", () => {
  test("no more seats are offered than jobs are expected", () => {
    const all = [worker({ types: ["a"], free: 8 }), worker({ types: ["a"], free: 8 })];
    expect(groups(all, due({ a: 3 }))).toEqual([{ types: ["a"], seats: [0, 1, 0] }]);
  });

  test("nor more than one claim may have", () => {
    expect(groups([worker({ types: ["a"], free: 800 })], UNKNOWN, 32)[0]?.seats).toHaveLength(32);
    expect(groups([worker({ free: 800 })], UNKNOWN, 32)[0]?.seats).toHaveLength(32);
  });

  test("a worker without a free seat is offered nothing, whatever it takes", () => {
    const full = [worker({ free: 0 }), worker({ free: 0, types: ["a"] }), worker({ free: 0, limits: { a: 0 } })];
    expect(match(full, UNKNOWN, 100)).toEqual({ groups: [], needsLook: false });
  });

  test("nothing due means no claim, whatever the workers take", () => {
    expect(groups([worker(), worker({ types: ["a"] }), worker({ limits: { a: 1 } })], due({}))).toEqual([]);
    expect(groups([worker({ types: ["a"] })], due({ b: 5 }))).toEqual([]);
  });
});

describe("limits of one type", () => {
  test("types whose limits fit side by side are claimed each by itself", () => {
    const both = worker({ types: ["a", "b"], free: 5, limits: { a: 2, b: 3 } });
    expect(groups([both], due({ a: 9, b: 9 }))).toEqual([
      { types: ["a"], seats: [0, 0] },
      { types: ["b"], seats: [0, 0, 0] },
    ]);
  });

  test("where they do not fit they are claimed together, as many as the smallest limit allows", () => {
    const both = worker({ types: ["a", "b"], free: 4, limits: { a: 2, b: 3 } });
    expect(groups([both], due({ a: 9, b: 9 }))).toEqual([{ types: ["a", "b"], seats: [0, 0] }]);
  });

  test("a type that has reached its limit is left out", () => {
    const both = worker({ types: ["a", "b"], free: 2, limits: { a: 0 } });
    expect(groups([both], due({ a: 9, b: 9 }))).toEqual([{ types: ["b"], seats: [0, 0] }]);
  });

  test("who takes anything and has a limit somewhere gets only so many at a time of an unknown queue", () => {
    expect(groups([worker({ free: 9, limits: { a: 2, b: 4 } })], UNKNOWN)).toEqual([{ types: [], seats: [0, 0] }]);
  });
});

describe("when the queue must be looked at first", () => {
  const filled = { free: 2, limits: { a: 0, b: 1 } };

  test("a worker who takes anything but what it has enough of needs to know what there is", () => {
    expect(match([worker(filled)], UNKNOWN, 100)).toEqual({ groups: [], needsLook: true });
  });

  test("the others do not wait for that look", () => {
    const all = [worker(filled), worker({ types: ["a"] })];
    expect(match(all, UNKNOWN, 100)).toEqual({ groups: [{ types: ["a"], seats: [1] }], needsLook: true });
  });

  test("once it is known, the worker gets the other types and no further look is needed", () => {
    expect(match([worker(filled)], due({ a: 5, b: 5, c: 5 }), 100)).toEqual({
      groups: [{ types: ["b", "c"], seats: [0] }],
      needsLook: false,
    });
  });

  test("nobody else needs one: not who names types, not who has room in each limit, not who is full", () => {
    const all = [
      worker({ types: ["a", "b"], ...filled }),
      worker({ free: 2, limits: { a: 1 } }),
      worker({ free: 0, limits: { a: 0 } }),
      worker(),
    ];
    expect(match(all, UNKNOWN, 100).needsLook).toBe(false);
  });
});
