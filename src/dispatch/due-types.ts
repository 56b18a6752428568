/**
 * How many due jobs of each type there may be, as far as this broker knows. It only saves claims that would find
 * nothing, and keeps them small: the claim decides. What is counted too high ends with a claim that comes back short;
 * what is counted too low is found by the next look at the queue, at most one poll later.
 */
import type { Known } from "./match.ts";

interface Expected {
  count: number;
  /** This object's own count of events when it was last said to have jobs. */
  at: number;
}

export class DueTypes implements Known {
  readonly #expected = new Map<string, Expected>();
  /** Types that are not in the map: empty, or anything. */
  #othersEmpty = false;
  #now = 0;
  /** What a claim or look that began before it says is not the whole. */
  #forgotAt = 0;
  #lookedAt = 0;

  /** Before a claim or look begins; what arrives after it is not in its answer. */
  mark(): number {
    return ++this.#now;
  }

  arrived(type: string, count: number): void {
    this.#expected.set(type, { count: this.expected(type) + count, at: ++this.#now });
  }

  /**
   * A claim of these types (empty: any) that began at the mark took so many of each; short: there were fewer than it
   * had seats for.
   */
  claimed(types: readonly string[], taken: ReadonlyMap<string, number>, isShort: boolean, mark: number): void {
    const any = types.length === 0;
    for (const type of any ? new Set([...this.#expected.keys(), ...taken.keys()]) : types) {
      const known = this.#expected.get(type);
      const isOver = isShort && (known?.at ?? 0) <= mark && mark > this.#forgotAt;
      // A look that answered meanwhile counted without what this claim took.
      const took = mark > this.#lookedAt ? (taken.get(type) ?? 0) : 0;
      const left = isOver ? 0 : this.expected(type) - took;
      this.#set(type, { count: Math.max(0, left), at: known?.at ?? 0 });
    }
    if (any && isShort && mark > this.#forgotAt) this.#closeList();
  }

  /** A look that began at the mark counted these due jobs, and no others. */
  looked(counts: ReadonlyMap<string, number>, mark: number): void {
    const isWhole = mark > this.#forgotAt;
    this.#lookedAt = ++this.#now;
    for (const type of isWhole ? new Set([...this.#expected.keys(), ...counts.keys()]) : counts.keys()) {
      const known = this.#expected.get(type);
      // Unknown stays unknown: one claim more, that comes back short.
      const since = known !== undefined && known.at > mark ? known.count : 0;
      const counted = counts.get(type) ?? 0;
      // As of the answer: a claim that is under way may have an older snapshot than the look, and know nothing of it.
      this.#set(type, { count: counted + since, at: counted > 0 ? ++this.#now : (known?.at ?? 0) });
    }
    if (isWhole) this.#closeList();
  }

  /** Nothing is known any more. */
  forget(): void {
    this.#forgotAt = ++this.#now;
    this.#expected.clear();
    this.#othersEmpty = false;
  }

  /** Due jobs of the type: 0 for none, Infinity where it is not known. */
  expected(type: string): number {
    return this.#expected.get(type)?.count ?? (this.#othersEmpty ? 0 : Number.POSITIVE_INFINITY);
  }

  /** Whether nothing at all is expected. */
  get idle(): boolean {
    return this.#othersEmpty && this.#expected.size === 0;
  }

  list(): readonly string[] | undefined {
    if (!this.#othersEmpty) return undefined;
    return [...this.#expected].filter(([, { count }]) => count > 0).map(([type]) => type);
  }

  #set(type: string, expected: Expected): void {
    // Types are free text: none is kept that says nothing.
    if (expected.count === 0 && this.#othersEmpty) this.#expected.delete(type);
    else this.#expected.set(type, expected);
  }

  #closeList(): void {
    this.#othersEmpty = true;
    for (const [type, { count }] of this.#expected) if (count === 0) this.#expected.delete(type);
  }
}
