/**
 * What is to be told to the broker and must not be lost: it is kept until it is answered, over however many connections.
 * Everything in here is safe to say twice.
 */

export interface Parcel {
  /** Its texts, for the limit of one message. */
  bytes: number;
}

/** What brings parcels to the broker at the moment: a stream, or unary calls. It answers by `answer`, `postpone`, `refuse`. */
export interface Carrier<P> {
  send(id: bigint, parcels: readonly P[]): void;
}

export interface OutboxOptions<P, R> {
  /** The texts of one message. */
  maxBytes(): number;
  /** The broker's answer to a parcel: it is out of the box. */
  settle(parcel: P, result: R): void;
  /** The broker cannot read this one; it is out of the box. */
  refused(parcel: P, error: Error): void;
}

const MAX_ITEMS = 1_000;
/** While an answer is awaited: long enough to gather a batch, short enough not to be felt. */
const GATHER_MS = 5;
/** A batch that nobody answered is sent again. */
const ANSWER_WITHIN_MS = 30_000;

interface Sent<P> {
  parcels: readonly P[];
  overdue: NodeJS.Timeout;
}

export class Outbox<P extends Parcel, R> {
  readonly #options: OutboxOptions<P, R>;
  #waiting: P[] = [];
  readonly #sent = new Map<bigint, Sent<P>>();
  /** Was in a batch that the broker could not read: goes by itself, to find the one at fault. */
  readonly #suspects = new WeakSet<P>();
  #carrier: Carrier<P> | undefined;
  #lastId = 0n;
  #cancelFlush: (() => void) | undefined;
  #whenEmpty: (() => void)[] = [];

  constructor(options: OutboxOptions<P, R>) {
    this.#options = options;
  }

  put(parcel: P): void {
    this.#waiting.push(parcel);
    this.#flushSoon();
  }

  /** From now on this one carries, beginning with what is unanswered; undefined: nobody does. */
  carryBy(carrier: Carrier<P> | undefined): void {
    this.#carrier = carrier;
    this.#stopTimer();
    for (const id of [...this.#sent.keys()].reverse()) this.#takeBack(id);
    this.#flushSoon();
  }

  /** The results are in the order of the parcels. An id that is not known is of a batch that was sent again. */
  answer(id: bigint, results: readonly R[]): void {
    const parcels = this.#remove(id);
    this.#waiting.unshift(...parcels.slice(results.length));
    for (const [index, parcel] of parcels.slice(0, results.length).entries()) {
      this.#options.settle(parcel, results[index] as R);
    }
    this.#flushSoon();
    this.#tellIfEmpty();
  }

  /** Nothing is known to be stored: again after this time. */
  postpone(id: bigint, afterMs: number): void {
    if (!this.#takeBack(id)) return;
    this.#stopTimer();
    const timer = setTimeout(() => this.#flush(), afterMs);
    this.#cancelFlush = () => clearTimeout(timer);
  }

  /** The broker cannot read the batch. Each parcel goes again by itself; one that is alone already is refused. */
  refuse(id: bigint, error: Error): void {
    const parcels = this.#remove(id);
    if (parcels.length === 1) {
      this.#options.refused(parcels[0] as P, error);
    } else {
      for (const parcel of parcels) this.#suspects.add(parcel);
      this.#waiting.unshift(...parcels);
    }
    this.#flushSoon();
    this.#tellIfEmpty();
  }

  /** As refuse, for everything that is under way: the connection ended over one of them. */
  refuseAll(error: Error): void {
    const ids = [...this.#sent.keys()];
    // Of several batches none is known to be the one. Suspects go one at a time, so the next round tells.
    if (ids.length === 1) this.refuse(ids[0] as bigint, error);
    for (const { parcels } of this.#sent.values()) for (const parcel of parcels) this.#suspects.add(parcel);
  }

  get size(): number {
    let size = this.#waiting.length;
    for (const { parcels } of this.#sent.values()) size += parcels.length;
    return size;
  }

  /** Resolves when nothing is left. */
  empty(): Promise<void> {
    if (this.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenEmpty.push(resolve));
  }

  /** Forgets everything. */
  close(): void {
    this.#stopTimer();
    for (const id of [...this.#sent.keys()]) this.#remove(id);
    this.#carrier = undefined;
    this.#waiting = [];
    this.#tellIfEmpty();
  }

  #stopTimer(): void {
    this.#cancelFlush?.();
    this.#cancelFlush = undefined;
  }

  #flushSoon(): void {
    if (this.#carrier === undefined || this.#waiting.length === 0 || this.#cancelFlush !== undefined) return;
    if (this.#sent.size > 0) {
      const timer = setTimeout(() => this.#flush(), GATHER_MS);
      this.#cancelFlush = () => clearTimeout(timer);
    } else {
      // What ends in the same turn of the event loop goes together, and nobody waits for it.
      const turn = setImmediate(() => this.#flush());
      this.#cancelFlush = () => clearImmediate(turn);
    }
  }

  #flush(): void {
    this.#cancelFlush = undefined;
    while (this.#carrier !== undefined && this.#waiting.length > 0 && !this.#mustWait()) {
      const parcels = this.#nextBatch();
      const id = ++this.#lastId;
      const overdue = setTimeout(() => this.#takeBack(id) && this.#flushSoon(), ANSWER_WITHIN_MS);
      this.#sent.set(id, { parcels, overdue });
      this.#carrier.send(id, parcels);
    }
  }

  /** A suspect goes when nothing else is under way, and nothing else goes while it is. */
  #mustWait(): boolean {
    const isSuspect = (parcel: P | undefined) => parcel !== undefined && this.#suspects.has(parcel);
    const underWay = [...this.#sent.values()];
    return (
      underWay.some(({ parcels }) => isSuspect(parcels[0])) || (underWay.length > 0 && isSuspect(this.#waiting[0]))
    );
  }

  #nextBatch(): P[] {
    let bytes = 0;
    let count = 0;
    for (const parcel of this.#waiting) {
      const alone = this.#suspects.has(parcel);
      if (count > 0 && (alone || count === MAX_ITEMS || bytes + parcel.bytes > this.#options.maxBytes())) break;
      bytes += parcel.bytes;
      count += 1;
      if (alone) break;
    }
    return this.#waiting.splice(0, count);
  }

  #takeBack(id: bigint): boolean {
    const parcels = this.#remove(id);
    this.#waiting.unshift(...parcels);
    return parcels.length > 0;
  }

  #remove(id: bigint): readonly P[] {
    const sent = this.#sent.get(id);
    if (sent === undefined) return [];
    clearTimeout(sent.overdue);
    this.#sent.delete(id);
    return sent.parcels;
  }

  #tellIfEmpty(): void {
    if (this.size > 0) return;
    for (const tell of this.#whenEmpty.splice(0)) tell();
  }
}
