/** Whether another worker's instance should be started: what waits, against the hands that are there. Pure. */

/** Live workers that take the same types, together. */
export interface Hands {
  /** Empty: any. */
  types: readonly string[];
  /** Jobs that they take at a time, and those of them that are free. */
  seats: number;
  free: number;
}

export interface Queue {
  due: readonly { type: string; count: number }[];
  hands: readonly Hands[];
  /** What a job of a type took lately, where that is known. */
  medianMs: ReadonlyMap<string, number>;
  /** For the types where it is not. */
  jobMs: number;
  /** From the start of an instance until its worker connects. */
  bootMs: number;
  /** Instances that were started and whose worker has not connected yet; each counts as one seat. */
  onTheWay: number;
}

/** Why a start pays. */
export interface Need {
  types: string[];
  jobs: number;
  workMs: number;
  /** Seats of live workers and instances on the way that will take these types. */
  seats: number;
}

/**
 * A start pays where due jobs that no live worker has a free seat for are more work than the seats that are there, or
 * on the way, do until the instance would be up. Where there is no seat at all any job is. Looked at type by type, then
 * as a whole, for types can share workers. Null: it does not pay.
 */
export function needOf(queue: Queue, takes: (type: string) => boolean = () => true): Need | null {
  const left = queue.due.filter(({ type }) => takes(type)).flatMap((due) => waiting(queue, due));
  const one = left.filter((need) => pays(queue, need)).sort((a, b) => b.workMs - a.workMs)[0];
  if (one !== undefined || left.length < 2) return one ?? null;
  const types = left.flatMap((need) => need.types);
  const whole = {
    types,
    jobs: left.reduce((sum, need) => sum + need.jobs, 0),
    workMs: left.reduce((sum, need) => sum + need.workMs, 0),
    seats: seatsFor(queue, types),
  };
  return pays(queue, whole) ? whole : null;
}

/** In words, for the log and the intent's row. */
export function wordsOf(need: Need, bootMs: number): string {
  const [jobs, seats] = [plural(need.jobs, "due job"), plural(need.seats, "seat")];
  const types = need.types.slice(0, 5).join(", ") + (need.types.length > 5 ? ", …" : "");
  return `${jobs} of ${types}, ${seconds(need.workMs)} of work, for ${seats}; an instance is up in ${seconds(bootMs)}`;
}

function waiting(queue: Queue, { type, count }: { type: string; count: number }): Need[] {
  const free = queue.hands.filter((hands) => takesOne(hands, type)).reduce((sum, hands) => sum + hands.free, 0);
  // The dispatcher is about to fill the free seats.
  const jobs = count - free;
  if (jobs <= 0) return [];
  return [
    { types: [type], jobs, workMs: jobs * (queue.medianMs.get(type) ?? queue.jobMs), seats: seatsFor(queue, [type]) },
  ];
}

function seatsFor({ hands, onTheWay }: Queue, types: readonly string[]): number {
  const able = hands.filter((one) => types.some((type) => takesOne(one, type)));
  return able.reduce((sum, one) => sum + one.seats, 0) + onTheWay;
}

function pays({ bootMs }: Queue, { workMs, seats }: Need): boolean {
  return seats === 0 || workMs > bootMs * seats;
}

function takesOne({ types }: Hands, type: string): boolean {
  return types.length === 0 || types.includes(type);
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1_000)} s`;
}
