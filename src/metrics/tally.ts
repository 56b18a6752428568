/** Counts by a name (a job type, a method) and an outcome. Counting is two look-ups and an addition, and makes nothing. */

export class Tally<O extends string> {
  readonly #at: ReadonlyMap<O, number>;
  readonly #rows = new Map<string, Float64Array>();

  constructor(outcomes: readonly O[]) {
    this.#at = new Map(outcomes.map((outcome, at) => [outcome, at]));
  }

  get outcomes(): O[] {
    return [...this.#at.keys()];
  }

  /** An outcome that is none of those given is not counted. */
  add(name: string, outcome: O, count = 1): void {
    const at = this.#at.get(outcome);
    if (at === undefined) return;
    let row = this.#rows.get(name);
    if (row === undefined) {
      row = new Float64Array(this.#at.size);
      this.#rows.set(name, row);
    }
    row[at] = (row[at] as number) + count;
  }

  /** Of all names. */
  total(outcome: O): number {
    const at = this.#at.get(outcome) ?? -1;
    let sum = 0;
    for (const row of this.#rows.values()) sum += row[at] ?? 0;
    return sum;
  }

  /** What has been counted, without zeros. */
  *[Symbol.iterator](): Generator<{ name: string; outcome: O; count: number }> {
    for (const [name, row] of this.#rows) {
      for (const [outcome, at] of this.#at) {
        const count = row[at] as number;
        if (count > 0) yield { name, outcome, count };
      }
    }
  }
}
