/** A queue without a database, and workers beside it: what match, the types that are due and the dispatcher are held to. */
import type { Known, Seated } from "../../src/dispatch/match.ts";

export interface QueuedJob {
  id: number;
  type: string;
}

/** Jobs in claim order. */
export class ModelQueue {
  waiting: QueuedJob[] = [];
  #made = 0;

  add(...types: string[]): QueuedJob[] {
    const jobs = types.map((type) => ({ id: ++this.#made, type }));
    this.waiting.push(...jobs);
    return jobs;
  }

  /** The oldest ones of these types (empty: any). */
  claim(types: readonly string[], most: number): QueuedJob[] {
    const taken = this.waiting.filter(({ type }) => types.length === 0 || types.includes(type)).slice(0, most);
    this.waiting = this.waiting.filter((job) => !taken.includes(job));
    return taken;
  }

  counts(): Map<string, number> {
    return countByType(this.waiting);
  }

  /** What is known to who has just looked. */
  known(): Known {
    const counts = this.counts();
    return { expected: (type) => counts.get(type) ?? 0, list: () => [...counts.keys()] };
  }
}

export class ModelWorker implements Seated {
  readonly types: readonly string[];
  readonly max: number;
  readonly maxByType: ReadonlyMap<string, number>;
  readonly jobs: QueuedJob[];

  constructor({ types = [], max = 1, maxByType = {}, has = [] }: Partial<WorkerShape> = {}) {
    this.types = types;
    this.max = max;
    this.maxByType = new Map(Object.entries(maxByType));
    this.jobs = has.map((type, at) => ({ id: -1 - at, type }));
  }

  get free(): number {
    return Math.max(0, this.max - this.jobs.length);
  }

  get load(): number {
    return this.jobs.length;
  }

  get freeByType(): ReadonlyMap<string, number> {
    return new Map([...this.maxByType].map(([type, max]) => [type, Math.max(0, max - this.#count(type))]));
  }

  takes(type: string): boolean {
    return (this.types.length === 0 || this.types.includes(type)) && this.#count(type) < this.#limit(type);
  }

  /** Whether it has more than it may have, of which it did not begin with. */
  isOver(begun: ReadonlyMap<string, number>): boolean {
    const over = [...new Set(this.jobs.map(({ type }) => type))].some(
      (type) => this.#count(type) > Math.max(this.#limit(type), begun.get(type) ?? 0),
    );
    return (
      over ||
      this.jobs.length >
        Math.max(
          this.max,
          [...begun.values()].reduce((a, b) => a + b, 0),
        )
    );
  }

  #count(type: string): number {
    return this.jobs.filter((job) => job.type === type).length;
  }

  #limit(type: string): number {
    return this.maxByType.get(type) ?? Number.POSITIVE_INFINITY;
  }
}

export interface WorkerShape {
  /** Empty: any. */
  types: string[];
  max: number;
  maxByType: Record<string, number>;
  /** Types of the jobs that it has from the beginning. */
  has: string[];
}

export function countByType(jobs: readonly { type: string }[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { type } of jobs) counts.set(type, (counts.get(type) ?? 0) + 1);
  return counts;
}
