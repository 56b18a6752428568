/** Who is dead by silence: the counting alone, without connections. */
import { expect, onTestFinished, test, vi } from "vitest";
import { everyTick, type Heard, Silence, type Start, TICK_MS } from "../../src/store/silence.ts";

const PATIENCE = 7;

/** A connection whose bytes the test tells of. */
class Fake implements Heard {
  readonly start: Start;
  readonly name: string;
  pending = 0;
  heardAt: number;
  askedAt: number | undefined;
  #brings = false;

  constructor(silence: Silence, name = "") {
    this.name = name;
    this.start = silence.start;
    this.heardAt = this.start.tick;
  }

  ask(): this {
    this.pending += 1;
    return this;
  }

  bring(): void {
    this.#brings = true;
  }

  listen(tick: number): void {
    if (this.#brings) this.heardAt = tick;
    if (this.pending === 0) this.askedAt = undefined;
    else if (this.#brings || this.askedAt === undefined) this.askedAt = tick;
    this.#brings = false;
  }
}

/** How many ticks it takes until one of them is dead, at most so many. */
function ticksToDeath(silence: Silence, lines: Fake[], most = 10_000): number {
  for (let ticks = 1; ticks <= most; ticks++) if (silence.look(lines).dead.length > 0) return ticks - 1;
  return Number.POSITIVE_INFINITY;
}

test("one that owes a word is dead after its patience, one that owes none is not", () => {
  const silence = new Silence(PATIENCE * TICK_MS - 1);
  expect(ticksToDeath(silence, [new Fake(silence)], 100)).toBe(Number.POSITIVE_INFINITY);
  expect(ticksToDeath(silence, [new Fake(silence).ask()])).toBe(PATIENCE);
});

test("each word begins its patience anew", () => {
  const silence = new Silence(PATIENCE * TICK_MS);
  const line = new Fake(silence).ask();
  for (let words = 0; words < 5; words++) {
    expect(ticksToDeath(silence, [line], PATIENCE - 1)).toBe(Number.POSITIVE_INFINITY);
    line.bring();
  }
  expect(ticksToDeath(silence, [line])).toBe(PATIENCE);
});

test("a Postgres whose longest is unknown is waited for", () => {
  const silence = new Silence(Number.POSITIVE_INFINITY);
  expect(ticksToDeath(silence, [new Fake(silence).ask()])).toBe(Number.POSITIVE_INFINITY);
});

test("those that nobody uses, and that were not heard since, are given up with one that is silent for a while", () => {
  const silence = new Silence(PATIENCE * TICK_MS);
  const [old, heard] = [new Fake(silence, "old"), new Fake(silence, "heard")];
  silence.look([old, heard]);
  const silent = new Fake(silence, "silent").ask();
  silence.look([old, heard, silent]);
  heard.bring();
  expect(silence.look([old, heard, silent])).toEqual({ dead: [], unused: [] });
  expect(silence.look([old, heard, silent]).unused).toEqual([old]);
});

test("those of one outage have the same patience, however late they were asked", () => {
  const silence = new Silence(PATIENCE * TICK_MS);
  const lines: Fake[] = [];
  for (let at = 0; at < 5; at++) {
    lines.push(new Fake(silence).ask());
    silence.look(lines);
  }
  const deaths: number[] = [];
  for (let tick = 5; lines.length > 0; tick++) {
    for (const line of silence.look(lines).dead) {
      lines.splice(lines.indexOf(line), 1);
      deaths.push(tick);
    }
  }
  expect(deaths).toEqual([0, 1, 2, 3, 4].map((at) => at + PATIENCE));
  expect(silence.start.patience).toBe(PATIENCE);
});

test("patience doubles with each round of new ones that are dead as well, to a bound, and begins anew after a quiet while", () => {
  const silence = new Silence(PATIENCE * TICK_MS);
  const rounds = Array.from({ length: 11 }, () => ticksToDeath(silence, [new Fake(silence).ask()]) / PATIENCE);
  expect(rounds).toEqual([1, 1, 2, 4, 8, 16, 32, 64, 128, 128, 128]);
  for (let tick = 0; tick < 2 * 128 * PATIENCE; tick++) silence.look([]);
  expect(silence.start.patience).toBe(128 * PATIENCE);
  silence.look([]);
  expect(silence.start.patience).toBe(PATIENCE);
});

test("patience is the first again once a new one has written, for those that were made before, too", () => {
  const silence = new Silence(PATIENCE * TICK_MS);
  for (let round = 0; round < 5; round++) ticksToDeath(silence, [new Fake(silence).ask()]);
  const before = new Fake(silence).ask();
  expect(before.start.patience).toBe(16 * PATIENCE);
  silence.writes();
  expect(ticksToDeath(silence, [before])).toBe(PATIENCE);
  expect(silence.start.patience).toBe(PATIENCE);
});

test("it is looked once a tick, until nobody wants to know", () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  let looks = 0;
  const stop = everyTick(() => looks++);
  vi.advanceTimersByTime(3 * TICK_MS);
  expect(looks).toBe(3);
  stop();
  vi.advanceTimersByTime(3 * TICK_MS);
  expect(looks).toBe(3);
});
