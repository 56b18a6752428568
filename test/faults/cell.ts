/** What a cell says of itself: its world, the faults of one round, and what has to be so at its end. */
import type { ClusterKind } from "./cluster-kinds.ts";
import type { Dice } from "./dice.ts";
import type { Options } from "./history/violation.ts";
import type { Load } from "./players/producer.ts";
import type { World, WorldOptions } from "./world.ts";

export interface Cell {
  name: string;
  /** What is done to the world, in a line. */
  about: string;
  /** Why it cannot be run here; undefined where it can. */
  unable?: () => Promise<string | undefined>;
  /** What its world has otherwise than others. */
  world?: Partial<Pick<WorldOptions, "settings" | "plain" | "nodeOptions">> & {
    workers?: Partial<WorldOptions["workers"]>;
    load?: Partial<Load>;
    /** The schema version before this one has made its database, and its brokers begin with that one's program. */
    isPrevious?: true;
    /** What is done once its brokers are up, before the first job. */
    begin?: WorldOptions["begin"];
    /** A Postgres of its own. */
    cluster?: ClusterKind;
  };
  /** Rounds in a quick run, 3 unless told; a full run goes on until it has had enough jobs and faults. */
  rounds?: number;
  /** Jobs that a full run has at least, where those of all cells are too few for what it shows. */
  fullJobs?: number;
  /** Deals the faults of one round, and takes away what it can; what is left is healed at the end. */
  deal: (world: World, dice: Dice, run: { full: boolean; round: number }) => Promise<void>;
  /** Looks at the world when all jobs have ended; answers what is wrong, a line each, beside what the checker finds. */
  look?: (world: World, full: boolean) => Promise<string[]>;
  /** What the checker is to know. */
  check?: Partial<Options>;
  /** It is there for the programme's own tests, and runs only when it is named. */
  hidden?: boolean;
}

export const WORKERS: WorldOptions["workers"] = { stream: 2, plain: 1, legacy: 1, seats: 4 };

export const LOAD: Load = { perSecond: 60, most: 0, batch: 4, ms: 60, failing: 0.1, cancelled: 0.03, retried: 0.5 };
