/**
 * Every interleaving of the protocol's steps, in models small enough to see all of them: the promises hold in each state,
 * and each mistake that the design is to rule out breaks one, by a trace that is as short as can be.
 */
import { expect, test } from "vitest";
import { explore, type Model } from "./explore.ts";
import { brokenIn, keyOf, MUTATIONS, type Mutation, type Scope, type State, start } from "./life.ts";
import { nextOf } from "./next.ts";

function modelOf(jobs: number, faults: number, scope: Scope, mutation?: Mutation): Model<State> {
  return { start: start(jobs, faults), next: nextOf(scope, mutation), key: keyOf, broken: brokenIn };
}

test.each([
  { jobs: 1, faults: 1, mostGiven: 3, fails: true },
  { jobs: 1, faults: 2, mostGiven: 2, fails: true },
  { jobs: 2, faults: 0, mostGiven: 2, fails: true },
  { jobs: 2, faults: 1, mostGiven: 2, fails: false },
])(
  "no interleaving of $jobs jobs and $faults faults, with $mostGiven hand-outs, breaks a promise",
  { timeout: 90_000 },
  ({ jobs, faults, ...scope }) => {
    const { states, steps, depth, violation } = explore(modelOf(jobs, faults, scope));
    process.stdout.write(`${jobs} jobs, ${faults} faults: ${states} states, ${steps} steps, ${depth} deep\n`);
    expect(violation).toBeUndefined();
    expect(states).toBeGreaterThan(5_000);
  },
);

/** What a mistake does, and in how few steps. */
const FOUND: Record<Mutation, { what: string; steps: number }> = {
  "no token check": { what: "a stale token ended another worker's attempt", steps: 7 },
  "expiry used as guard": { what: "the current token was refused", steps: 5 },
  "attempt not counted": { what: "the attempts are not those that were spent", steps: 1 },
  "reclaimed early": { what: "two leases of one job overlap", steps: 4 },
  "settled twice": { what: "two results of one job", steps: 7 },
  "ack ignored": { what: "two leases of one job overlap", steps: 6 },
  "given back by job id": { what: "two leases of one job overlap", steps: 6 },
  "heartbeat by job id": { what: "a heartbeat kept another worker's lease", steps: 6 },
  "reclaimed although ended": { what: "an ended job lives again", steps: 5 },
  "held leases taken back": { what: "two leases of one job overlap", steps: 6 },
  "acknowledged before stored": { what: "an acknowledged dispatch is lost", steps: 1 },
  "returns spend no attempt and are not checked": { what: "the attempts are not those that were spent", steps: 2 },
};

test.each(MUTATIONS)("a broker with the mistake '%s' is found out, in the fewest steps", (mutation) => {
  const { violation } = explore(modelOf(1, 2, { mostGiven: 2, fails: true }, mutation));
  expect({ what: violation?.what, steps: violation?.trace.length }).toEqual(FOUND[mutation]);
});

test("the trace tells the story from the start", () => {
  const { violation } = explore(modelOf(1, 2, { mostGiven: 2, fails: true }, "no token check"));
  expect(violation?.trace).toEqual([
    "dispatched (job 1)",
    "claimed (job 1)",
    "the lease's time is over (job 1)",
    "reclaimed (job 1)",
    "pushed to worker 0 (job 1)",
    "worker 2 has done it (job 1)",
    "worker 2's report D arrives: ok (job 1)",
  ]);
});

test("an explorer of a model without an end says so, and finds the nearest of two bad states", () => {
  const counting: Model<number> = { start: 0, next: (n) => [["one", n + 1]], key: String, broken: () => undefined };
  expect(() => explore(counting, 100)).toThrow("more than 100 states");
  const two = {
    ...counting,
    next: (n: number) =>
      [
        ["double", n * 2],
        ["one", n + 1],
      ] as const,
  };
  const found = explore({ ...two, broken: (n: number) => (n === 7 || n === 8 ? `${n}` : undefined) });
  expect(found.violation).toEqual({ what: "8", trace: ["one", "double", "double", "double"] });
  expect(explore({ ...counting, next: (n: number) => [["on", (n + 1) % 5]] as const })).toMatchObject({
    states: 5,
    depth: 4,
  });
});
