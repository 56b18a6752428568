import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DueTypes } from "../../src/dispatch/due-types.ts";
import { countByType, ModelQueue, type QueuedJob } from "./model-queue.ts";

const UNKNOWN = Number.POSITIVE_INFINITY;
const count = (counts: Record<string, number> = {}) => new Map(Object.entries(counts));

/** As after a look at a queue with these jobs. */
function known(counts: Record<string, number> = {}): DueTypes {
  const due = new DueTypes();
  due.looked(count(counts), due.mark());
  return due;
}

describe("what is believed", () => {
  test("at first anything may be due", () => {
    const due = new DueTypes();
    expect(due.expected("a")).toBe(UNKNOWN);
    expect(due.list()).toBeUndefined();
  });

  test("a look tells of all types, also of those that it does not name", () => {
    const due = known({ a: 2, b: UNKNOWN });
    expect([due.expected("a"), due.expected("b"), due.expected("c")]).toEqual([2, UNKNOWN, 0]);
    expect(due.list()).toEqual(["a", "b"]);
  });

  test("jobs that arrive are added to what is known, and to what is not known they add nothing", () => {
    const due = known({ a: 2 });
    due.arrived("a", 3);
    due.arrived("new", 1);
    expect([due.expected("a"), due.expected("new")]).toEqual([5, 1]);
    expect(due.list()).toEqual(["a", "new"]);
    const unsure = new DueTypes();
    unsure.arrived("a", 1);
    expect([unsure.expected("a"), unsure.expected("b"), unsure.list()]).toEqual([UNKNOWN, UNKNOWN, undefined]);
  });

  test("a full claim takes off what it got, and no more than there was", () => {
    const due = known({ a: 5, b: 1 });
    due.claimed(["a", "b"], count({ a: 2, b: 2 }), false, due.mark());
    expect([due.expected("a"), due.expected("b")]).toEqual([3, 0]);
    expect(due.list()).toEqual(["a"]);
  });

  test("a claim that comes back short says that its types are empty, and nothing of others", () => {
    const due = known({ a: 5, b: 5 });
    due.claimed(["a"], count({ a: 1 }), true, due.mark());
    expect([due.expected("a"), due.expected("b")]).toEqual([0, 5]);
    const unsure = new DueTypes();
    unsure.claimed(["a"], count(), true, unsure.mark());
    expect([unsure.expected("a"), unsure.expected("b"), unsure.list()]).toEqual([0, UNKNOWN, undefined]);
  });

  test("a short claim of any type says that the whole queue is empty", () => {
    const due = new DueTypes();
    due.arrived("a", 1);
    due.claimed([], count({ a: 1 }), true, due.mark());
    expect([due.expected("a"), due.expected("b"), due.list()]).toEqual([0, 0, []]);
  });

  test("a full claim of any type says nothing of a queue that is not known", () => {
    const due = new DueTypes();
    due.claimed([], count({ a: 3 }), false, due.mark());
    expect([due.expected("a"), due.expected("b"), due.list()]).toEqual([UNKNOWN, UNKNOWN, undefined]);
  });

  test("the queue is idle only where it is known that nothing at all is due", () => {
    const due = new DueTypes();
    expect(due.idle).toBe(false);
    due.looked(count({ a: 0 }), due.mark());
    expect(due.idle).toBe(true);
    due.arrived("a", 1);
    expect(due.idle).toBe(false);
    due.claimed([], count({ a: 1 }), true, due.mark());
    expect(due.idle).toBe(true);
    const unsure = new DueTypes();
    unsure.claimed(["a"], count(), true, unsure.mark());
    expect(unsure.idle).toBe(false);
    unsure.claimed([], count(), true, unsure.mark());
    expect(unsure.idle).toBe(true);
  });

  test("forgotten means that anything may be due again", () => {
    const due = known({ a: 1 });
    due.forget();
    expect([due.expected("a"), due.expected("b"), due.list()]).toEqual([UNKNOWN, UNKNOWN, undefined]);
  });
});

describe("what happens meanwhile", () => {
  test("a job that arrives during a claim outlives the claim's being short", () => {
    const due = known({ a: 1 });
    const mark = due.mark();
    due.arrived("a", 1);
    due.claimed(["a"], count({ a: 1 }), true, mark);
    expect(due.expected("a")).toBeGreaterThan(0);
  });

  test("a type that arrives during a claim of any type outlives the claim's being short", () => {
    const due = new DueTypes();
    const mark = due.mark();
    due.arrived("new", 1);
    due.claimed([], count(), true, mark);
    expect(due.expected("new")).toBeGreaterThan(0);
    expect(due.list()).toEqual(["new"]);
  });

  test("a job that arrives during a look outlives the look's not counting it", () => {
    const due = known();
    const mark = due.mark();
    due.arrived("a", 2);
    due.looked(count({ b: 1 }), mark);
    expect([due.expected("a"), due.expected("b")]).toEqual([2, 1]);
  });

  test("so does one that arrives during the first look, when nothing is known yet", () => {
    const due = new DueTypes();
    const mark = due.mark();
    due.arrived("a", 1);
    due.looked(count(), mark);
    expect(due.expected("a")).toBeGreaterThan(0);
  });

  test("what a look finds during a claim outlives the claim's being short", () => {
    const due = known();
    const mark = due.mark();
    // Another broker's job, committed after the claim's snapshot: its bell makes us look.
    due.looked(count({ a: 1 }), due.mark());
    due.claimed(["a"], count(), true, mark);
    expect(due.expected("a")).toBeGreaterThan(0);
  });

  test("what a look counts without what a claim has taken is not taken off once more by the claim", () => {
    const due = known({ a: 2 });
    const mark = due.mark();
    // The claim has taken one of two by now, and its large answer is on the way.
    due.looked(count({ a: 1 }), due.mark());
    due.claimed(["a"], count({ a: 1 }), false, mark);
    expect(due.expected("a")).toBeGreaterThan(0);
  });

  test("a look or a claim from before all was forgotten does not say that anything is empty", () => {
    const looked = new DueTypes();
    const lookMark = looked.mark();
    looked.arrived("a", 1);
    looked.forget();
    looked.looked(count({ b: 1 }), lookMark);
    expect([looked.expected("a"), looked.expected("b"), looked.list()]).toEqual([
      UNKNOWN,
      expect.any(Number),
      undefined,
    ]);
    const claimed = new DueTypes();
    const claimMark = claimed.mark();
    claimed.forget();
    claimed.claimed(["a"], count(), true, claimMark);
    claimed.claimed([], count(), true, claimMark);
    expect([claimed.expected("a"), claimed.list()]).toEqual([UNKNOWN, undefined]);
  });

  test("a look from before all was forgotten does not count for what was told of meanwhile", () => {
    const due = new DueTypes();
    const mark = due.mark();
    // Committed after the look's snapshot: two are due, and it has seen one.
    due.arrived("a", 1);
    due.forget();
    due.looked(count({ a: 1 }), mark);
    due.claimed(["a"], count({ a: 1 }), false, due.mark());
    expect(due.expected("a")).toBeGreaterThan(0);
  });

  test("a claim that took a job nobody told of is not taken off what arrives meanwhile", () => {
    const due = known();
    const lookMark = due.mark();
    const mark = due.mark();
    // The claim has taken another broker's job by now.
    due.arrived("a", 1);
    due.claimed(["a"], count({ a: 1 }), false, mark);
    due.looked(count(), lookMark);
    expect(due.expected("a")).toBeGreaterThan(0);
  });

  test("a claim that begins after all this and is short ends the count, however high", () => {
    const due = known({ a: UNKNOWN });
    due.arrived("a", 4);
    due.looked(count({ a: 9 }), due.mark());
    due.claimed(["a"], count({ a: 1 }), true, due.mark());
    expect([due.expected("a"), due.list()]).toEqual([0, []]);
  });
});

/** One broker's view of a queue that others use, too: its claims and looks take time, and news of commits come late. */
class History {
  readonly due = new DueTypes();
  readonly queue = new ModelQueue();
  /** Committed here, and arrived() not called yet. */
  #untold: QueuedJob[] = [];
  /** Committed elsewhere, and no look has told of them yet. */
  #foreign: QueuedJob[] = [];
  #claim: { types: string[]; seats: number; mark: number; got?: QueuedJob[] } | undefined;
  #look: { mark: number; saw?: QueuedJob[]; seen?: QueuedJob[] } | undefined;

  commit(type: string, elsewhere: boolean): void {
    (elsewhere ? this.#foreign : this.#untold).push(...this.queue.add(type));
  }

  tell(): void {
    const job = this.#untold.shift();
    if (job !== undefined) this.due.arrived(job.type, 1);
  }

  /** Begins a claim, runs its statement, and gets its answer: one a call. */
  claim(types: string[], seats: number): void {
    if (this.#claim === undefined) this.#claim = { types, seats, mark: this.due.mark() };
    else if (this.#claim.got === undefined) this.#claim.got = this.queue.claim(this.#claim.types, this.#claim.seats);
    else {
      const { got, mark } = this.#claim;
      this.due.claimed(this.#claim.types, countByType(got), got.length < this.#claim.seats, mark);
      this.#claim = undefined;
    }
  }

  look(): void {
    if (this.#look === undefined) this.#look = { mark: this.due.mark() };
    else if (this.#look.saw === undefined) {
      Object.assign(this.#look, { saw: [...this.queue.waiting], seen: [...this.#foreign] });
    } else {
      const { saw, seen, mark } = this.#look;
      this.due.looked(countByType(saw), mark);
      this.#foreign = this.#foreign.filter((job) => !seen?.includes(job));
      this.#look = undefined;
    }
  }

  /** Types with more due jobs than nobody told of, and yet believed to be empty. */
  lost(): string[] {
    const unheard = countByType([...this.#untold, ...this.#foreign]);
    return [...this.queue.counts()]
      .filter(([type, waiting]) => waiting > (unheard.get(type) ?? 0) && this.due.expected(type) <= 0)
      .map(([type]) => type);
  }

  unlisted(): string[] {
    const listed = this.due.list();
    return ["a", "b"].filter((type) => listed !== undefined && listed.includes(type) !== this.due.expected(type) > 0);
  }
}

const type = fc.constantFrom("a", "b");
const step = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(fc.constant("commit"), type, fc.boolean()) },
  { weight: 3, arbitrary: fc.tuple(fc.constant("tell")) },
  { weight: 4, arbitrary: fc.tuple(fc.constant("claim"), fc.subarray(["a", "b"]), fc.integer({ min: 1, max: 3 })) },
  { weight: 4, arbitrary: fc.tuple(fc.constant("look")) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("other broker claims"), type) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("forget")) },
);

test("whatever comes between, a type with due jobs that were told of is never believed to be empty", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40, size: "max" }), (steps) => {
      const history = new History();
      for (const [what, first, second] of steps) {
        if (what === "commit") history.commit(first as string, second as boolean);
        if (what === "tell") history.tell();
        if (what === "claim") history.claim(first as string[], second as number);
        if (what === "look") history.look();
        if (what === "other broker claims") history.queue.claim([first as string], 1);
        if (what === "forget") history.due.forget();
        // Not by expect, which costs more than the rest.
        const faults = [...history.lost(), ...history.unlisted()];
        if (faults.length > 0) throw new Error(`after ${what}: ${faults}`);
      }
    }),
    { numRuns: 10_000 },
  );
});
