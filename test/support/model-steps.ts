/** Steps of random histories beside the model (model.ts), by names that fast-check prints with the shortest one. */
import fc from "fast-check";
import type { Body, Model } from "./model.ts";

export const MAX_DELIVERIES = 2;

/** Of a broker beside the model, by which nothing moves by itself: its loops would act between a step and its comparison. */
export const STILL = {
  RECLAIM_EVERY_MS: "60000",
  POLL_EVERY_MS: "1000",
  BACKOFF_BASE_MS: "0",
  CANCEL_GRACE_MS: "3600000",
  MAX_DELIVERIES: String(MAX_DELIVERIES),
};

/** Recent leases and jobs are met more often than old ones. */
export const back = fc.nat(5);
export const recent = <T>(list: T[], at: number): T | undefined => list[list.length - 1 - (at % list.length)];

export const type = fc.constantFrom("a", "b", "c");
export const body: fc.Arbitrary<Body> = fc.record({
  type,
  priority: fc.integer({ min: -1, max: 1 }),
  maxAttempts: fc.integer({ min: 1, max: 2 }),
});
export const none = fc.constant([] as []);

/** The name of a value of the wire; what the enum does not have is undefined. */
export const word = (names: Record<string, number>, value: number | undefined) =>
  Object.keys(names).find((name) => names[name] === value);

/** The step, to be printed as a call with these arguments. */
export function labelled<S extends object>(step: S, name: string, args: readonly unknown[]): S {
  return Object.assign(step, { [fc.toStringMethod]: () => `${name}(${JSON.stringify(args).slice(1, -1)})` });
}

/** Ways to make steps in such a world: with drawn arguments, on a lease that was got before, on a job that is there. */
export function stepsIn<W extends { model: Model; leases: object[] }>() {
  type Lease = W["leases"][number];

  function said<T extends unknown[]>(
    arbitrary: fc.Arbitrary<T>,
    name: string,
    run: (w: W, ...args: T) => Promise<void>,
  ) {
    return arbitrary.map((args) => labelled((world: W) => run(world, ...args), name, args));
  }

  /** On one of those that the world has, the recent ones more often. */
  const onOneOf =
    <S>(all: (w: W) => S[]) =>
    <T extends unknown[]>(name: string, more: fc.Arbitrary<T>, run: (w: W, one: S, ...args: T) => Promise<void>) =>
      said(fc.tuple(back, more), name, async (w, at, args) => {
        const one = recent(all(w), at);
        if (one !== undefined) await run(w, one, ...args);
      });

  return {
    said,
    /** Current or not. */
    onLease: onOneOf<Lease>((w) => w.leases),
    onJob: onOneOf((w) => [...w.model.jobs.keys()]),
  };
}
