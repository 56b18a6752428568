/** Every state that a model can come to, by whichever way, nearest first; so the first bad one has the shortest trace. */

export interface Model<S> {
  start: S;
  /** All that may happen next, each with its name. */
  next: (state: S) => Iterable<readonly [string, S]>;
  /** Equal for states that go on alike. */
  key: (state: S) => string;
  /** Which promise the state breaks; undefined: none. */
  broken: (state: S) => string | undefined;
}

export interface Explored {
  states: number;
  steps: number;
  /** Steps from the start to the farthest state. */
  depth: number;
  violation: { what: string; trace: string[] } | undefined;
}

/** Throws when there are more than `most` states: a model that has no end proves nothing. */
export function explore<S>({ start, next, key, broken }: Model<S>, most = 1_000_000): Explored {
  const seen = new Set([key(start)]);
  const cameFrom: number[] = [-1];
  const by: string[] = ["start"];
  const traceTo = (at: number): string[] => (at <= 0 ? [] : [...traceTo(cameFrom[at] ?? 0), by[at] ?? ""]);
  let steps = 0;
  let depth = 0;
  let [layer, first] = [[start], 0];
  for (; layer.length > 0; depth++) {
    const following: S[] = [];
    const place = first + layer.length;
    for (const [at, state] of layer.entries()) {
      for (const [name, after] of next(state)) {
        steps++;
        const id = key(after);
        if (seen.has(id)) continue;
        seen.add(id);
        cameFrom.push(first + at);
        by.push(name);
        const what = broken(after);
        if (what !== undefined) {
          return { states: seen.size, steps, depth: depth + 1, violation: { what, trace: traceTo(by.length - 1) } };
        }
        following.push(after);
        if (seen.size > most) throw new Error(`more than ${most} states, ${depth} steps from the start`);
      }
    }
    [layer, first] = [following, place];
  }
  return { states: seen.size, steps, depth: depth - 1, violation: undefined };
}
