/** What is to be done about an instance in the state that EC2 tells, and about an intent to start one. Pure. */

export interface Instance {
  id: string;
  /** pending, running, stopping, stopped, shutting-down, terminated. */
  state: string;
  /** Of its newest start; a later one has another. */
  launchedAt: Date | null;
  /** Why EC2 stopped it, where it says so. */
  stateReason: string;
}

/** What became of the wish to start one instance. */
export type StartStatus =
  | "STARTED"
  | "RUNNING"
  | "IN_PROGRESS"
  | "STOPPING"
  | "NOT_FOUND"
  | "NO_CAPACITY"
  | "THROTTLED"
  | "DENIED"
  | "DRY_RUN"
  | "FAILED";

export interface StartResult {
  instanceId: string;
  status: StartStatus;
  /** What happened and what to do, for people. */
  message: string;
}

/** A start that was only said, since the broker's EC2_DRY_RUN is set. */
export interface DryRun {
  instanceId: string;
  reason: string;
  /** By the broker's clock. */
  wantedAt: Date;
}

/** start it · it is on its way up · it runs · it is going down, look later · there is none any more. */
export type Standing = "start" | "coming" | "up" | "later" | "gone";

/** Undefined: EC2 knows no such instance. */
export function standingOf(instance: Instance | undefined): Standing {
  switch (instance?.state) {
    case "stopped":
      return "start";
    case "pending":
      return "coming";
    case "running":
      return "up";
    case "stopping":
      return "later";
    default:
      return "gone";
  }
}

/** An intent to start an instance, as far as its next step depends on it. */
export interface OpenIntent {
  id: number;
  instanceId: string;
  /** The instance's launch time before the start; null: EC2 told none. */
  launchedBefore: Date | null;
  /** How long ago the start was answered; null: nobody knows yet whether it was made. */
  startedAgoMs: number | null;
  /** Nobody started it: it was found on its way up. */
  isFound: boolean;
  isAlerted: boolean;
}

/**
 * call: the start was not made, make it · started: it was, write that down · wait · alert: it is up and its worker has
 * not come · stopped: it went down again · gone.
 */
export type Step = "call" | "started" | "wait" | "alert" | "stopped" | "gone";

/**
 * The next step of an intent. Whether a start was made of which no answer is known, because its broker died or the
 * answer was lost, is told by the launch time: each start changes it. Clocks are not compared.
 */
export function stepOf(intent: OpenIntent, instance: Instance | undefined, alertAfterMs: number): Step {
  const standing = standingOf(instance);
  if (standing === "gone") return "gone";
  const launchedAgain = instance?.launchedAt?.getTime() !== intent.launchedBefore?.getTime();
  if (intent.startedAgoMs === null) {
    if (standing === "coming" || standing === "up") return "started";
    if (standing === "later") return "wait";
    return launchedAgain ? "stopped" : "call";
  }
  if (standing === "coming" || standing === "up") {
    return intent.startedAgoMs > alertAfterMs && !intent.isAlerted ? "alert" : "wait";
  }
  // EC2 may go on telling the old state for a while after a start.
  if (!launchedAgain && !intent.isFound && intent.startedAgoMs < STALE_MS) return "wait";
  return "stopped";
}

const STALE_MS = 60_000;

/** A live worker that was not there when the intent was made. */
export interface Newcomer {
  intentId: number;
  workerId: string;
}

export interface Arrival {
  intentId: number;
  instanceId: string;
  workerId: string;
}

/**
 * Which worker is which instance's. One whose name holds an instance's id is that instance's; the others go to the
 * intents in the order in which they were made, each worker to one intent only.
 */
export function arrivals(
  intents: readonly Pick<OpenIntent, "id" | "instanceId">[],
  come: readonly Newcomer[],
): Arrival[] {
  const taken = new Set<string>();
  const found: Arrival[] = [];
  const named = (workerId: string) => intents.find(({ instanceId }) => workerId.includes(instanceId));
  for (const byName of [true, false]) {
    for (const { id, instanceId } of intents) {
      if (found.some(({ intentId }) => intentId === id)) continue;
      const worker = come.find(({ intentId, workerId }) => {
        if (intentId !== id || taken.has(workerId)) return false;
        return byName
          ? workerId.includes(instanceId)
          : named(workerId) === undefined && !/\bi-[0-9a-f]{8,17}\b/.test(workerId);
      });
      if (worker === undefined) continue;
      taken.add(worker.workerId);
      found.push({ intentId: id, instanceId, workerId: worker.workerId });
    }
  }
  return found;
}
