/**
 * Dispatches that come while others are under way go together into the next statement, as claims and reports do: a
 * transaction for each job is most of what a lone job costs Postgres. A lone call goes at once, by itself.
 */
import type { Dispatched, NewJob } from "../store/rows.ts";
import { createCoalescer, createCoalescers, unlessLost } from "./coalescer.ts";
import { isHandable, MOST_HANDED } from "./hand-off.ts";

type Store = (jobs: NewJob[]) => Promise<Dispatched[]>;

/** A payload of this length counts as one more job. */
const UNIT_LENGTH = 16_384;
/** Statements of one kind at a time: where one waits for a lock of somebody's, others go on beside it. */
const WIDTH = 2;

/**
 * `store` for many callers. What is stored together is alike, so that it can be handed off together, and no more than
 * can be: a call of more jobs than that goes by itself. A call whose jobs are refused is refused alone, in its own words.
 */
export function createDispatchGatherer(store: Store): Store {
  const groups = createCoalescers<NewJob, Dispatched>();
  const create = () =>
    createCoalescer(store, MOST_HANDED, {
      weigh: ({ payload }) => 1 + payload.length / UNIT_LENGTH,
      // Its own repetition would find the jobs known, and answer that they were not created.
      again: unlessLost,
      width: WIDTH,
    });
  return (jobs) => {
    if (jobs.length > MOST_HANDED || jobs.length === 0) return store(jobs);
    return groups.add(keyOf(jobs), jobs, create);
  };
}

/** Jobs of one key may be handed off together. */
function keyOf(jobs: NewJob[]): string {
  const [first] = jobs;
  if (first === undefined || !isHandable(jobs)) return "mixed";
  return JSON.stringify([first.type, first.priority]);
}
