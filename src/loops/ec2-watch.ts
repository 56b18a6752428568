/** What becomes of intents after the call: workers that come, starts whose broker died, instances that run idle. */
import { arrivals, type Instance, stepOf } from "../job/ec2-states.ts";
import { endIntent, recordAlert, recordArrival, recordStarted, takeOver } from "../store/ec2.ts";
import { type IntentRow, newcomers } from "../store/ec2-view.ts";
import { callStart, goneAdvice } from "./ec2-call.ts";
import type { Ec2Context } from "./ec2-context.ts";

/** So often one start is tried when no answer to it ever comes. */
const MOST_TRIES = 5;
/** A boot may take so many times as long as usual before people are told. */
const ALERT_AFTER_BOOTS = 3;

/** Ends the intents whose worker has come; answers the others. */
export async function greet(ctx: Ec2Context, open: readonly IntentRow[]): Promise<IntentRow[]> {
  if (!open.some(({ startedAgoMs }) => startedAgoMs !== null)) return [...open];
  const come = await newcomers(ctx.db);
  const arrived = new Set<number>();
  for (const { intentId, instanceId, workerId } of arrivals(open, come)) {
    const types = come.find((one) => one.intentId === intentId && one.workerId === workerId)?.types ?? [];
    const recorded = await recordArrival(ctx.db.sql, { intentId, workerId, types }, ctx.coolDownMs);
    arrived.add(intentId);
    if (recorded === null) continue;
    ctx.log.info(
      { instanceId, workerId, bootMs: Math.round(recorded.bootMs) },
      "the started instance's worker connected",
    );
  }
  return open.filter(({ id }) => !arrived.has(id));
}

/** Those of the open intents that need a look at EC2: left by their broker, or without a worker after a usual boot. */
export function lookWorthy(open: readonly IntentRow[], bootMs: number): IntentRow[] {
  return open.filter(({ isLeft, startedAgoMs }) => isLeft || (startedAgoMs !== null && startedAgoMs > bootMs));
}

/** Takes the next step of each intent, by what EC2 says of its instance. */
export async function follow(
  ctx: Ec2Context,
  intents: readonly IntentRow[],
  found: ReadonlyMap<string, Instance>,
  bootMs: number,
): Promise<void> {
  for (const intent of intents) await step(ctx, intent, found.get(intent.instanceId), bootMs);
}

async function step(ctx: Ec2Context, intent: IntentRow, instance: Instance | undefined, bootMs: number): Promise<void> {
  const { sql } = ctx.db;
  const { id, instanceId } = intent;
  switch (stepOf(intent, instance, ALERT_AFTER_BOOTS * Math.max(bootMs, ctx.bootMs))) {
    case "wait":
      return;
    case "call":
      return await callAgain(ctx, intent);
    case "started":
      await recordStarted(sql, id);
      ctx.log.info(
        { instanceId },
        "the instance was started, though its broker did not say so; its worker is waited for",
      );
      return;
    case "alert":
      if (!(await recordAlert(sql, id))) return;
      return ctx.log.error({ instanceId, waitedMs: Math.round(intent.startedAgoMs ?? 0) }, IDLE);
    case "stopped":
      if (!(await endIntent(sql, id, { outcome: "stopped", restMs: ctx.coolDownMs }))) return;
      return ctx.log.warn({ instanceId, stateReason: instance?.stateReason }, STOPPED);
    case "gone":
      if (!(await endIntent(sql, id, { outcome: "gone", restMs: ctx.coolDownMs }))) return;
      return ctx.log.error({ instanceId }, `${instanceId} is terminated: ${goneAdvice(ctx)}`);
  }
}

const IDLE =
  "the instance runs but no worker of it has connected: look there at the worker's service, its token and its way to the broker";
const STOPPED = "the instance stopped before its worker had connected; the loop leaves it alone for EC2_COOL_DOWN_MS";

async function callAgain(ctx: Ec2Context, intent: IntentRow): Promise<void> {
  const { id, instanceId, tries } = intent;
  if (ctx.dryRun || !intent.isLeft) return;
  if (tries >= MOST_TRIES) {
    if (!(await endIntent(ctx.db.sql, id, { outcome: "failed", restMs: ctx.coolDownMs }))) return;
    ctx.log.error({ instanceId, tries }, "no start of the instance was ever answered; is EC2 reachable from here?");
    return;
  }
  const since = ctx.now();
  const turn = await takeOver(ctx.db.sql, intent, ctx.brokerId);
  if (turn === null) return;
  ctx.log.warn(
    { instanceId, tries: turn.tries },
    "no broker said how the start of the instance went, and it is stopped",
  );
  const { status, message } = await callStart(ctx, turn, instanceId, since);
  if (status === "STARTED")
    ctx.log.info({ instanceId }, `the instance is started in another broker's place: ${message}`);
}
