/** What `npm run bench` measures, one module each. */
import type { Measure } from "../harness/figures.ts";
import type { Ground } from "../harness/ground.ts";

export interface BenchContext {
  ground: Ground;
  /** Rounds of each, all systems in turn. */
  rounds: number;
  /** Small counts and short looks: to try it out, and to see a large drop. */
  quick: boolean;
  /** The broker without its peers. */
  alone: boolean;
  /** Says what is going on, on stderr. */
  say: (line: string) => void;
}

export interface BenchMeasure {
  /** The word that issue trackers, tables and `--only` know it by. */
  name: string;
  /** What else comes out of it, for `--only`. */
  also?: readonly string[];
  /** What it shows, in one line. */
  about: string;
  run(context: BenchContext): Promise<Measure[]>;
}
