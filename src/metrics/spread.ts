/** How values of a name are spread over bounds: a histogram whose observing makes no objects, unlike prom-client's. */

export interface SpreadRow {
  name: string;
  /** For each bound, how many values were not above it. */
  counts: number[];
  count: number;
  sum: number;
}

export class Spread {
  readonly bounds: readonly number[];
  /** For each bound the values between the one before and it, then those above all, then the sum. */
  readonly #rows = new Map<string, Float64Array>();

  /** Bounds from the smallest to the largest. */
  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
  }

  /** Negative values (a database whose clock was set back) count as 0. */
  observe(name: string, value: number): void {
    let row = this.#rows.get(name);
    if (row === undefined) {
      row = new Float64Array(this.bounds.length + 2);
      this.#rows.set(name, row);
    }
    const known = Math.max(value, 0);
    let at = 0;
    while (at < this.bounds.length && known > (this.bounds[at] as number)) at++;
    row[at] = (row[at] as number) + 1;
    const sum = this.bounds.length + 1;
    row[sum] = (row[sum] as number) + known;
  }

  *[Symbol.iterator](): Generator<SpreadRow> {
    for (const [name, row] of this.#rows) {
      let count = 0;
      const counts = this.bounds.map((_, at) => {
        count += row[at] as number;
        return count;
      });
      count += row[this.bounds.length] as number;
      yield { name, counts, count, sum: row[this.bounds.length + 1] as number };
    }
  }
}
