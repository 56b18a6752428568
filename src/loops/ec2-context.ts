/** What the parts of the EC2 starter share: the settings, the calls once they are needed, and when to leave EC2 alone. */
import type { Logger } from "pino";
import type { DryRun } from "../job/ec2-states.ts";
import type { Database } from "../store/db.ts";
import { type Ec2Access, type Ec2Api, type Ec2Fault, openEc2 } from "./ec2-api.ts";

/** As in the configuration. */
export interface Ec2Settings {
  ec2InstanceIds: readonly string[];
  ec2Region: string;
  ec2Endpoint?: string | undefined;
  ec2MaxStarts: number;
  ec2CoolDownMs: number;
  ec2DryRun: boolean;
  ec2BootMs: number;
  ec2JobMs: number;
}

export interface Ec2Options {
  db: Database;
  log: Logger;
  brokerId: string;
  settings: Ec2Settings;
  /** For tests. */
  openApi?: (access: Ec2Access) => Promise<Ec2Api>;
  now?: () => number;
}

export interface Ec2Context {
  db: Database;
  log: Logger;
  brokerId: string;
  /** Which may be started, the preferred first; empty: the loop is off. */
  instanceIds: readonly string[];
  region: string;
  /** On their way at once, over all brokers. */
  maxStarts: number;
  /** After an intent has ended, until the loop starts its instance again. */
  coolDownMs: number;
  /** Only say what would be started. */
  dryRun: boolean;
  /** What was said so, the latest first; for operators, who need not read the log for it. */
  dryRuns: DryRun[];
  /** Until the first boots have been seen. */
  bootMs: number;
  /** For types of which no job is done yet. */
  jobMs: number;
  api: () => Promise<Ec2Api>;
  /** Monotonic, in ms. */
  now: () => number;
  pause: Pause;
}

/** When EC2 is to be left alone by the loop; what people ask for by hand is always tried. */
export interface Pause {
  isOver(): boolean;
  /** Waits longer with each fault in a row, and an hour where permission is missing. Answers how long. */
  after(fault: Ec2Fault): number;
  end(): void;
}

const FIRST_PAUSE_MS = 30_000;
const LONGEST_PAUSE_MS = 600_000;
const DENIED_PAUSE_MS = 3_600_000;

/** The settings under shorter names, and nothing loaded yet. */
export function ec2Context(options: Ec2Options): Ec2Context {
  const { db, log, brokerId, settings, openApi = openEc2, now = () => performance.now() } = options;
  let opened: Promise<Ec2Api> | undefined;
  const api = () => {
    opened ??= openApi({ region: settings.ec2Region, endpoint: settings.ec2Endpoint }).catch((err: unknown) => {
      opened = undefined;
      throw err;
    });
    return opened;
  };
  return {
    db,
    log,
    brokerId,
    instanceIds: settings.ec2InstanceIds,
    region: settings.ec2Region,
    maxStarts: settings.ec2MaxStarts,
    coolDownMs: settings.ec2CoolDownMs,
    dryRun: settings.ec2DryRun,
    dryRuns: [],
    bootMs: settings.ec2BootMs,
    jobMs: settings.ec2JobMs,
    api,
    now,
    pause: createPause(now),
  };
}

function createPause(now: () => number): Pause {
  let until = Number.NEGATIVE_INFINITY;
  let nextMs = FIRST_PAUSE_MS;
  return {
    isOver: () => now() >= until,
    after: ({ trouble }) => {
      const ms = trouble === "denied" ? DENIED_PAUSE_MS : nextMs;
      until = now() + ms;
      if (trouble !== "denied") nextMs = Math.min(LONGEST_PAUSE_MS, nextMs * 2);
      return ms;
    },
    end: () => {
      until = Number.NEGATIVE_INFINITY;
      nextMs = FIRST_PAUSE_MS;
    },
  };
}
