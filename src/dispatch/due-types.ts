/**
 * How many due jobs of each type there may be, as far as this broker knows. It only saves claims that would find
 * nothing, and keeps them small: the claim decides. What is counted too high ends with a claim that comes back short;
 * what is counted too low is found by the next look at the queue, at most one poll later.
 */
import type { Known } from "./match.ts";

interface Expected {
  count: number;
  /** What was learned lately, oldest first: a claim or look that began before it cannot speak of it. */
  news: readonly News[];
}

interface News {
  /** This object's own count of events. */
  at: number;
  count: number;
}

/** More than claims and looks can be under way at a time: the older ones count as one. */
const MOST_NEWS = 4;

export class DueTypes implements Known {
  readonly #expected = new Map<string, Expected>();
  /** Types that are not in the map: empty, or anything. */
  #othersEmpty = false;
  #now = 0;
  #marked = 0;
  /** What a claim or look that began before it says is not the whole. */
  #forgotAt = 0;
  #lookedAt = 0;

  /** Before a claim or look begins; what arrives after it is not in its answer. */
  mark(): number {
    this.#marked = ++this.#now;
    return this.#marked;
  }

  arrived(type: string, count: number): void {
    const news = [...(this.#expected.get(type)?.news ?? []), { at: ++this.#now, count }];
    const [older, newer] = news.slice(-2) as [News, News?];
    // Every mark lies before both of them.
    if (newer !== undefined && older.at > this.#marked) news.splice(-2, 2, together(older, newer));
    if (news.length > MOST_NEWS) news.splice(0, 2, together(news[0] as News, news[1] as News));
    this.#expected.set(type, { count: this.expected(type) + count, news });
  }

  /**
   * A claim of these types (empty: any) that began at the mark took so many of each; short: there were fewer than it
   * had seats for.
   */
  claimed(types: readonly string[], taken: ReadonlyMap<string, number>, isShort: boolean, mark: number): void {
    const any = types.length === 0;
    const isOver = isShort && mark > this.#forgotAt;
    for (const type of any ? new Set([...this.#expected.keys(), ...taken.keys()]) : types) {
      // A look that answered meanwhile counted without what this claim took.
      const took = mark > this.#lookedAt ? (taken.get(type) ?? 0) : 0;
      const left = isOver ? 0 : this.expected(type) - took;
      // What it took may be what nobody had told of: what was told of since is still there.
      this.#set(type, Math.max(left, this.#since(type, mark)), this.#expected.get(type)?.news ?? []);
    }
    if (any && isOver) this.#closeList();
  }

  /** A look that began at the mark counted these due jobs, and no others. */
  looked(counts: ReadonlyMap<string, number>, mark: number): void {
    const isWhole = mark > this.#forgotAt;
    this.#lookedAt = ++this.#now;
    for (const type of isWhole ? new Set([...this.#expected.keys(), ...counts.keys()]) : counts.keys()) {
      const counted = (counts.get(type) ?? 0) + this.#since(type, mark);
      // What was told of before all was forgotten is in no count any more: only more can be learned from an older look.
      const count = isWhole ? counted : Math.max(counted, this.expected(type));
      // As of the answer: a claim that is under way may have an older snapshot than the look, and know nothing of it.
      this.#set(type, count, [{ at: this.#now, count }]);
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

  #since(type: string, mark: number): number {
    const news = this.#expected.get(type)?.news ?? [];
    return news.reduce((sum, { at, count }) => (at > mark ? sum + count : sum), 0);
  }

  #set(type: string, count: number, news: readonly News[]): void {
    // Types are free text: none is kept that says nothing.
    if (count <= 0 && this.#othersEmpty) this.#expected.delete(type);
    else this.#expected.set(type, { count: Math.max(0, count), news });
  }

  #closeList(): void {
    this.#othersEmpty = true;
    for (const [type, { count }] of this.#expected) if (count === 0) this.#expected.delete(type);
  }
}

/** As if all had come with the later one: who began between them counts too many, never too few. */
function together(older: News, newer: News): News {
  return { at: newer.at, count: older.count + newer.count };
}
