/** How many handlers may be at work, in all and of each type, and what the broker is told of it. */
import type { Lease } from "./lease-book.ts";

/** How many jobs a worker takes, jobs under way included: as in a Capacity. */
export interface Room {
  maxInFlight: number;
  maxByType: Record<string, number>;
}

/** One handler at work. */
export interface Seat {
  readonly lease: Lease;
  readonly type: string;
}

export class Seats {
  readonly #limits: ReadonlyMap<string, number>;
  readonly #limit: number;
  readonly #taken = new Map<string, Seat>();
  /** Their leases are lost, so the broker counts them no more, but their handlers have not ended. */
  readonly #ghosts = new Set<Seat>();
  readonly #takenByType = new Map<string, number>();
  #closed = false;
  #room: Room | undefined;

  /** `limit` jobs in all; `limits` by type. */
  constructor(limit: number, limits: ReadonlyMap<string, number>) {
    this.#limit = limit;
    this.#limits = limits;
  }

  /** Undefined when there is none for this type. */
  take(lease: Lease, type: string): Seat | undefined {
    if (this.#freeOf(type) <= 0) return undefined;
    const seat = { lease, type };
    this.#taken.set(lease.leaseToken, seat);
    this.#count(type, 1);
    return seat;
  }

  /** False when it was left before. */
  leave(seat: Seat): boolean {
    if (!this.has(seat)) return false;
    this.#taken.delete(seat.lease.leaseToken);
    if (this.#ghosts.delete(seat)) this.#room = undefined;
    this.#count(seat.type, -1);
    return true;
  }

  has(seat: Seat): boolean {
    return this.#taken.get(seat.lease.leaseToken) === seat;
  }

  /** The lease is lost: the seat stays taken, but not in the broker's books. */
  lose(leaseToken: string): void {
    const seat = this.#taken.get(leaseToken);
    if (seat === undefined) return;
    this.#ghosts.add(seat);
    this.#room = undefined;
  }

  /** No seat is free from here on. */
  close(): void {
    this.#closed = true;
    this.#room = undefined;
  }

  /** The limits as the broker counts, which knows nothing of ghosts; the same object while they are the same. */
  room(): Room {
    this.#room ??= this.#roomNow();
    return this.#room;
  }

  #roomNow(): Room {
    const maxByType: Record<string, number> = Object.fromEntries(this.#limits);
    for (const { type } of this.#ghosts) maxByType[type] = (maxByType[type] ?? 0) - 1;
    return { maxInFlight: this.#closed ? 0 : this.#limit - this.#ghosts.size, maxByType };
  }

  /** The types with a free seat, and how many jobs of any mix of them would find one. */
  free(): { types: string[]; count: number } {
    const types = [...this.#limits.keys()].filter((type) => this.#freeOf(type) > 0);
    return { types, count: types.length === 0 ? 0 : Math.min(...types.map((type) => this.#freeOf(type))) };
  }

  [Symbol.iterator](): IterableIterator<Seat> {
    return this.#taken.values();
  }

  get size(): number {
    return this.#taken.size;
  }

  #freeOf(type: string): number {
    if (this.#closed) return 0;
    const ofType = (this.#limits.get(type) ?? 0) - (this.#takenByType.get(type) ?? 0);
    return Math.min(this.#limit - this.#taken.size, ofType);
  }

  #count(type: string, by: number): void {
    this.#takenByType.set(type, (this.#takenByType.get(type) ?? 0) + by);
  }
}
