/** Rounds of claims as the dispatcher makes them, over any workers and any queue, against plain rules. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { DueTypes } from "../../src/dispatch/due-types.ts";
import { type Known, match } from "../../src/dispatch/match.ts";
import { countByType, ModelQueue, ModelWorker, type QueuedJob, type WorkerShape } from "./model-queue.ts";

const RUNS = { numRuns: 500 };
const TYPES = ["a", "b", "c", "d"];
const UNKNOWN: Known = { expected: () => Number.POSITIVE_INFINITY, list: () => undefined };

const type = fc.constantFrom(...TYPES);
/** Shapes, since each run needs workers of its own. */
const workers = fc.array(
  fc.record({
    types: fc.oneof(fc.constant<string[]>([]), fc.shuffledSubarray(TYPES, { minLength: 1 })),
    max: fc.nat(6),
    maxByType: fc.dictionary(type, fc.nat(4), { maxKeys: 4, noNullPrototype: true }),
    has: fc.array(type, { maxLength: 4 }),
  }),
  { minLength: 1, maxLength: 5 },
);
const queued = fc.array(type, { maxLength: 30 });
const most = fc.integer({ min: 1, max: 12 });

const seatedAs = (shapes: WorkerShape[]) => shapes.map((shape) => new ModelWorker(shape));

test("no claim, whatever it answers, gives a worker more than it may have, in all or of one type", () => {
  const answers = fc.infiniteStream(fc.nat(1_000));
  fc.assert(
    fc.property(
      workers,
      fc.constantFrom<"unknown" | "known">("unknown", "known"),
      queued,
      most,
      answers,
      (all, what, jobs, size, choices) => {
        const seated = seatedAs(all);
        const begun = seated.map((w) => countByType(w.jobs));
        const queue = new ModelQueue();
        queue.add(...jobs);
        for (let round = 0; round < 8; round++) {
          for (const { types, seats } of match(seated, what === "known" ? queue.known() : UNKNOWN, size).groups) {
            // Any jobs of the group's types, as if other brokers wrote and took between any two claims.
            const any = types.length > 0 ? types : TYPES;
            const answered = (choices.next().value as number) % (seats.length + 1);
            for (const at of seats.slice(0, answered)) {
              const picked = any[(choices.next().value as number) % any.length] as string;
              seated[at]?.jobs.push({ id: 0, type: picked });
            }
            expect(seated.map((w, at) => w.isOver(begun[at] as Map<string, number>))).toEqual(seated.map(() => false));
          }
        }
      },
    ),
    RUNS,
  );
});

/** One round on an honest queue; answers who got what. */
function playRound(seated: ModelWorker[], queue: ModelQueue, known: Known, size: number): [ModelWorker, QueuedJob][] {
  const given: [ModelWorker, QueuedJob][] = [];
  for (const { types, seats } of match(seated, known, size).groups) {
    for (const [nth, job] of queue.claim(types, seats.length).entries()) {
      const worker = seated[seats[nth] as number] as ModelWorker;
      worker.jobs.push(job);
      given.push([worker, job]);
    }
  }
  return given;
}

test("no worker uses up a seat on a job while an older one waits that the seat could have had", () => {
  fc.assert(
    fc.property(workers, queued, most, (all, jobs, size) => {
      const seated = seatedAs(all);
      const queue = new ModelQueue();
      queue.add(...jobs);
      for (let round = 0; round < 40; round++) {
        const given = playRound(seated, queue, queue.known(), size);
        for (const [worker, job] of given) {
          for (const older of queue.waiting.filter(({ id }) => id < job.id)) {
            const canHaveBoth = worker.free > 0 && worker.takes(older.type);
            worker.jobs.splice(worker.jobs.indexOf(job), 1);
            const couldHaveHad = worker.free > 0 && worker.takes(older.type);
            worker.jobs.push(job);
            expect(couldHaveHad && !canHaveBoth, `${older.id} ${older.type} waits behind ${job.id} ${job.type}`).toBe(
              false,
            );
          }
        }
      }
    }),
    RUNS,
  );
});

test("a claim of known types has no more seats than jobs are expected, and never none", () => {
  fc.assert(
    fc.property(workers, queued, most, (all, jobs, size) => {
      const queue = new ModelQueue();
      queue.add(...jobs);
      const counts = queue.counts();
      for (const { types, seats } of match(seatedAs(all), queue.known(), size).groups) {
        const expected = (types.length > 0 ? types : TYPES).reduce((sum, one) => sum + (counts.get(one) ?? 0), 0);
        expect(seats.length).toBeGreaterThan(0);
        expect(seats.length).toBeLessThanOrEqual(Math.min(size, expected));
      }
    }),
    RUNS,
  );
});

test("workers of one kind end as evenly loaded as their room allows", () => {
  const room = fc.record({ load: fc.nat(5), free: fc.nat(5) });
  fc.assert(
    fc.property(fc.array(room, { minLength: 1, maxLength: 6 }), fc.nat(20), (rooms, count) => {
      const seated = rooms.map(({ load, free }) => new ModelWorker({ max: load + free, has: Array(load).fill("a") }));
      const queue = new ModelQueue();
      queue.add(...Array<string>(count).fill("a"));
      playRound(seated, queue, queue.known(), 1_000);
      // One job after another to whoever has least: the plain rule.
      const loads = rooms.map(({ load }) => load);
      for (let n = 0; n < count; n++) {
        const open = rooms.flatMap(({ load, free }, at) => ((loads[at] as number) < load + free ? [at] : []));
        const least = open.toSorted((x, y) => (loads[x] as number) - (loads[y] as number))[0];
        if (least !== undefined) loads[least] = (loads[least] as number) + 1;
      }
      expect(seated.map((w) => w.load)).toEqual(loads);
    }),
    RUNS,
  );
});

test("rounds end, and then no free seat could take a due job, whatever was known at first", () => {
  const first = fc.constantFrom<"nothing" | "a look" | "arrivals" | "half">("nothing", "a look", "arrivals", "half");
  fc.assert(
    fc.property(workers, queued, most, first, (all, jobs, size, knownBy) => {
      const seated = seatedAs(all);
      const queue = new ModelQueue();
      queue.add(...jobs);
      const due = new DueTypes();
      if (knownBy === "a look") due.looked(queue.counts(), due.mark());
      if (knownBy === "half")
        due.looked(new Map([...queue.counts()].map(([t, n]) => [t, n > 2 ? Number.POSITIVE_INFINITY : n])), due.mark());
      if (knownBy === "arrivals") {
        due.looked(new Map(), due.mark());
        for (const [one, n] of queue.counts()) due.arrived(one, n);
      }
      let claims = 0;
      for (;;) {
        const { groups, needsLook } = match(seated, due, size);
        if (needsLook) due.looked(queue.counts(), due.mark());
        else if (groups.length === 0) break;
        for (const { types, seats } of groups) {
          claims++;
          const mark = due.mark();
          const given = queue.claim(types, seats.length);
          for (const [nth, job] of given.entries()) seated[seats[nth] as number]?.jobs.push(job);
          due.claimed(types, countByType(given), given.length < seats.length, mark);
        }
        // Each claim takes a job, or learns that a type is empty.
        expect(claims).toBeLessThanOrEqual(jobs.length + 2 * TYPES.length * seated.length + 1);
      }
      const left = seated.filter((w) => w.free > 0 && queue.waiting.some((job) => w.takes(job.type)));
      expect(left.map((w) => [w.types, w.free])).toEqual([]);
    }),
    RUNS,
  );
});
