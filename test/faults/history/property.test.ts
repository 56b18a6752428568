/**
 * Random runs of a broker that keeps its promises are never blamed, whatever became of their calls; with any one line
 * changed they always are. HISTORY_RUNS=2000 searches longer.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { violationsOf, type Written } from "./bad-case.ts";
import { MUTATIONS } from "./mutations.ts";
import type { SampleLease } from "./sample-rows.ts";
import { type Fate, SampleRun } from "./sample-run.ts";

const RUNS = Number(process.env["HISTORY_RUNS"] ?? 60);
const SUBSCRIBERS = [
  {
    name: "watcher",
    kinds: ["dispatched", "started", "retrying", "released", "reclaimed", "retried", "done", "failed", "cancelled"],
  },
];

type Step = (run: SampleRun) => void;

const job = fc.constantFrom("a", "b", "c");
const worker = fc.constantFrom("w1", "w2", "w3");
const fate = fc.oneof(
  { arbitrary: fc.constant<Fate>("answered"), weight: 3 },
  fc.constantFrom<Fate>("reply lost", "request lost", "killed"),
);
/** A lease that was got before, mostly one of the newest. */
const onLease = (move: (run: SampleRun, lease: SampleLease, fate: Fate) => void): fc.Arbitrary<Step> =>
  fc.tuple(fc.nat(3), fate).map(([back, how]) => (run) => {
    const lease = run.leases.at(-1 - back);
    if (lease !== undefined) move(run, lease, how);
  });

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.tuple(job, fate, fc.integer({ min: 1, max: 3 })).map(
    ([id, how, maxAttempts]): Step =>
      (run) =>
        run.dispatch(id, { fate: how, maxAttempts }),
  ),
  fc.tuple(job, worker).map(
    ([id, by]): Step =>
      (run) =>
        run.dispatch(id, { handTo: by }),
  ),
  fc.tuple(job, worker, fate).map(
    ([id, by, how]): Step =>
      (run) =>
        void run.claim(id, by, how),
  ),
  fc.tuple(job, worker, fc.boolean()).map(
    ([id, by, arrives]): Step =>
      (run) =>
        void run.claimForStream(id, by, arrives),
  ),
  onLease((run, lease, how) => run.heartbeat(lease, how)),
  onLease((run, lease, how) => run.report(lease, "DONE", { fate: how, result: `{"by":"${lease.token}"}` })),
  onLease((run, lease, how) => run.report(lease, "FAILED", { fate: how })),
  onLease((run, lease, how) => run.report(lease, "FAILED", { fate: how, retryable: false })),
  onLease((run, lease, how) => run.release(lease, how)),
  onLease((run, lease) => run.giveBackUnseen(lease)),
  onLease((run, lease, how) => run.hello(lease.worker, how === "answered" ? [lease] : [], how)),
  fc.tuple(job, worker, fc.constantFrom("DONE" as const, "FAILED" as const), fate).map(
    ([id, by, as, how]): Step =>
      (run) =>
        run.legacyReport(id, by, as, how),
  ),
  fc.tuple(job, fate).map(
    ([id, how]): Step =>
      (run) =>
        run.cancel(id, how),
  ),
  fc.tuple(job, fate).map(
    ([id, how]): Step =>
      (run) =>
        run.retry(id, how),
  ),
  fc.constantFrom(1_000_000, 70_000_000).map(
    (us): Step =>
      (run) => {
        run.pass(us);
        run.reclaim();
      },
  ),
);

const history: fc.Arbitrary<Written> = fc.array(step, { minLength: 5, maxLength: 40, size: "max" }).map((steps) => {
  const run = new SampleRun();
  for (const one of steps) one(run);
  run.drain();
  run.watch();
  return structuredClone({ records: run.records, versions: run.versions, final: run.final() });
});

test("a run that keeps every promise is never blamed", () => {
  fc.assert(
    fc.property(history, (all) => {
      expect(violationsOf(all, { subscribers: SUBSCRIBERS })).toEqual([]);
    }),
    { numRuns: RUNS * 5 },
  );
});

test.each(MUTATIONS)("it is blamed when $name", ({ places }) => {
  fc.assert(
    fc.property(history, fc.nat(), (good, at) => {
      const all = structuredClone(good);
      const able = places(all);
      fc.pre(able.length > 0);
      able[at % able.length]?.();
      expect(violationsOf(all, { subscribers: SUBSCRIBERS })).not.toEqual([]);
    }),
    { numRuns: RUNS / 2 },
  );
});
