/** A note for each lease that this broker handed out, until the lease ends here. */

/**
 * Bounded: a lease may end through another broker, which nobody tells. The oldest note is dropped when there are more
 * than `most`.
 */
export class Lately<V> {
  readonly #notes = new Map<string, V>();
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  get size(): number {
    return this.#notes.size;
  }

  set(token: string, note: V): void {
    this.#notes.set(token, note);
    if (this.#notes.size <= this.#most) return;
    for (const oldest of this.#notes.keys()) {
      this.#notes.delete(oldest);
      return;
    }
  }

  /** The note, which is gone then. */
  take(token: string | null | undefined): V | undefined {
    if (token === null || token === undefined) return undefined;
    const note = this.#notes.get(token);
    if (note !== undefined) this.#notes.delete(token);
    return note;
  }
}
