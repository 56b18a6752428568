/** A queue under test. */
import type { ClientName } from "../clients/load-client.ts";
import type { Ground } from "../harness/ground.ts";

export interface System {
  /** Also names who speaks to it. */
  name: ClientName;
  /** How it is set up, in a few words. */
  setting: string;
  /** Why it cannot be measured here; its setting says so, too. */
  missing?: string | undefined;
  /** Brings it up with an empty queue, or with what its last run left behind. */
  start(ground: Ground): Promise<RunningSystem>;
}

export interface RunningSystem {
  /** What its producer and its worker need to know; it goes to other processes as JSON. */
  target: object;
  /** The process that stands between producer and worker, Postgres apart; undefined: there is none. */
  serverPid: number | undefined;
  /** Every job that was dispatched is done, and durably so. */
  isEmpty(): Promise<boolean>;
  /** Where its jobs are in Postgres; undefined: they are not. */
  tables: Tables | undefined;
  stop(): Promise<void>;
}

export interface Tables {
  databaseUrl: string;
  /** Takes out all jobs, with the dead rows that they have left. */
  clear(): Promise<void>;
}

/** Undefined: it cannot be measured here. */
export function titleOf({ name, setting, missing }: System): string | undefined {
  return missing === undefined ? `${name}, ${setting}` : undefined;
}
