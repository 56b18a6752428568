/** The one place that starts an instance: a turn of an open intent in, what became of it out. */
import type { Ec2Trouble } from "../job/ec2-faults.ts";
import type { StartResult, StartStatus } from "../job/ec2-states.ts";
import { endIntent, type Outcome, recordStarted, TURN_MS, type Turn } from "../store/ec2.ts";
import { Ec2Fault } from "./ec2-api.ts";
import type { Ec2Context } from "./ec2-context.ts";

/** Of an instance that was not startable just then: it is stopping, as a rule. */
const SHORT_REST_MS = 30_000;

/**
 * Calls StartInstances for a turn that was got not before `turnSince` (by ctx.now()). When no answer comes the intent
 * stays open and uncalled: once the turn is over, whoever takes it sees by the launch time whether it was made.
 */
export async function callStart(
  ctx: Ec2Context,
  turn: Turn,
  instanceId: string,
  turnSince: number,
): Promise<StartResult & { trouble?: Ec2Trouble }> {
  const api = await ctx.api();
  // A process that was stopped for a while must not make a call that others have taken over meanwhile.
  if (ctx.now() - turnSince > TURN_MS / 2) {
    return {
      instanceId,
      status: "IN_PROGRESS",
      message: "this broker was too slow; another takes it over in a minute",
    };
  }
  try {
    await api.start(instanceId);
  } catch (err) {
    if (err instanceof Ec2Fault) return await failed(ctx, turn, instanceId, err);
    throw err;
  }
  await recordStarted(ctx.db.sql, turn.intentId);
  ctx.pause.end();
  return {
    instanceId,
    status: "STARTED",
    message: "EC2 starts it; see `ai-job-broker workers` for when its worker connects",
  };
}

async function failed(ctx: Ec2Context, turn: Turn, instanceId: string, fault: Ec2Fault) {
  const { trouble } = fault;
  const { status, advice } = troubleWords(ctx, trouble);
  const pauseMs = restOf(ctx, fault);
  if (trouble !== "unknown") {
    const rests = { denied: 0, throttled: pauseMs ?? 0, state: SHORT_REST_MS };
    // Not after a denial: once the permission is there, a restart is to be enough.
    const restMs = trouble in rests ? rests[trouble as keyof typeof rests] : ctx.coolDownMs;
    await endIntent(ctx.db.sql, turn.intentId, { outcome: OUTCOMES[trouble], restMs, turn });
  }
  const message = `${fault.message}: ${advice}`;
  const level = trouble === "throttled" || trouble === "capacity" || trouble === "state" ? "warn" : "error";
  ctx.log[level]({ instanceId, code: fault.code, pauseMs }, `the instance was not started: ${message}`);
  return { instanceId, status, message, trouble };
}

/** Leaves EC2 alone for a while where the next call would fare no better; answers how long. */
export function restOf(ctx: Ec2Context, fault: Ec2Fault): number | undefined {
  const { trouble } = fault;
  return trouble === "denied" || trouble === "throttled" || trouble === "unknown" ? ctx.pause.after(fault) : undefined;
}

const OUTCOMES: Record<Exclude<Ec2Trouble, "unknown">, Outcome> = {
  denied: "denied",
  throttled: "throttled",
  capacity: "capacity",
  gone: "gone",
  state: "failed",
  refused: "failed",
};

/** What a person is to do about a fault; the same words in the log and in the answer to a call. */
export function troubleWords(ctx: Ec2Context, trouble: Ec2Trouble): { status: StartStatus; advice: string } {
  switch (trouble) {
    case "denied":
      return { status: "DENIED", advice: "give this broker's AWS identity the policy of docs/ec2.md, then restart it" };
    case "throttled":
      return { status: "THROTTLED", advice: "EC2 gets too many calls of this account; try again in a minute" };
    case "capacity":
      return {
        status: "NO_CAPACITY",
        advice: "EC2 has no room or quota for it now; another instance is tried, or try later",
      };
    case "gone":
      return { status: "NOT_FOUND", advice: goneAdvice(ctx) };
    case "state":
      return { status: "STOPPING", advice: "wait until it has stopped, then start it again" };
    case "refused":
      return { status: "FAILED", advice: "EC2 says why; mend that, then start it again" };
    case "unknown":
      return {
        status: "FAILED",
        advice: "whether it starts is not known; in a minute a broker looks, or start it again then",
      };
  }
}

export function goneAdvice(ctx: Ec2Context): string {
  return `take it out of EC2_WORKER_INSTANCE_IDS, or set EC2_REGION (now ${ctx.region}) to where it is`;
}
