/** Whether to start an instance now, and which: one a round at most, the first in order that EC2 lets start. */
import { type Need, needOf, type Queue, wordsOf } from "../job/ec2-need.ts";
import { type Instance, standingOf } from "../job/ec2-states.ts";
import { due } from "../store/due.ts";
import { openIntent } from "../store/ec2.ts";
import { memoriesOf, openIntents } from "../store/ec2-view.ts";
import { type Learned, learned, liveHands, liveWorkers } from "../store/ec2-workers.ts";
import { callStart, goneAdvice } from "./ec2-call.ts";
import type { Ec2Context } from "./ec2-context.ts";

/** Due jobs of a lane beyond these are not counted: at a second each they are hours of work. */
const MOST_DUE = 10_000;
/** A need that passes sooner was the workers' own reconnect, or a push under way. Not longer than a boot. */
const SETTLE_MS = 10_000;
const LEARN_EVERY_MS = 60_000;
/** A need for which there is no stopped instance can last for days. */
const IDLE_MS = 30_000;
const MOST_DRY_RUNS = 50;

export interface Candidate {
  instanceId: string;
  need: Need;
}

/** What a decision rests on. */
export interface Decision {
  candidates: Candidate[];
  /** Live workers that may be those of instances that run. */
  strangers: number;
  newestId: number;
  bootMs: number;
}

/** What one broker remembers from round to round. */
export interface Memory {
  /** Since when a start has paid, at each look. */
  needSince: number | undefined;
  learned: (Learned & { at: number }) | undefined;
  /** Ids that EC2 does not know, so that each is told once. */
  gone: Set<string>;
  /** When a dry run last named an instance. */
  named: Map<string, number>;
  /** Until then EC2 is not asked again, since it had none to start. */
  idleUntil: number;
}

export function createMemory(): Memory {
  return {
    needSince: undefined,
    learned: undefined,
    gone: new Set(),
    named: new Map(),
    idleUntil: Number.NEGATIVE_INFINITY,
  };
}

/** How long a boot takes: what was learned, else the setting. */
export async function bootTime(ctx: Ec2Context, memory: Memory): Promise<number> {
  return (await learn(ctx, memory)).bootMs ?? ctx.bootMs;
}

/** Null: nothing is to be started now. */
export async function decide(ctx: Ec2Context, memory: Memory): Promise<Decision | null> {
  const waiting = (await due(ctx.db.sql, MOST_DUE)).filter(({ count }) => count > 0);
  const decision = waiting.length === 0 ? null : await weigh(ctx, memory, waiting);
  if (decision === null || decision.candidates.length === 0) {
    memory.needSince = undefined;
    return null;
  }
  memory.needSince ??= ctx.now();
  if (ctx.now() < memory.idleUntil) return null;
  return ctx.now() - memory.needSince < Math.min(SETTLE_MS, decision.bootMs) ? null : decision;
}

async function weigh(ctx: Ec2Context, memory: Memory, waiting: Queue["due"]): Promise<Decision | null> {
  // The intents first: whoever opens one after this look makes the decision void.
  const { open, newestId } = await openIntents(ctx.db);
  const onTheWay = open.filter(({ isAlerted }) => !isAlerted).length;
  if (onTheWay >= ctx.maxStarts) return null;
  const { instances, strangers } = await memoriesOf(ctx.db, ctx.instanceIds);
  const hands = await liveHands(ctx.db);
  const { medianMs, bootMs: seen } = await learn(ctx, memory);
  const bootMs = seen ?? ctx.bootMs;
  const queue = { due: waiting, hands, medianMs, jobMs: ctx.jobMs, bootMs, onTheWay };
  const idle = instances.filter(
    ({ instanceId, isResting, isWorking }) =>
      !isResting && !isWorking && !open.some((intent) => intent.instanceId === instanceId),
  );
  const candidates = idle.flatMap(({ instanceId, types }) => {
    // An instance whose last worker did not take these types would be started for nothing, again and again.
    const need = needOf(queue, (type) => types === null || types.length === 0 || types.includes(type));
    return need === null ? [] : [{ instanceId, need }];
  });
  return { candidates, strangers, newestId, bootMs };
}

async function learn(ctx: Ec2Context, memory: Memory): Promise<Learned> {
  const { learned: known } = memory;
  if (known !== undefined && ctx.now() - known.at < LEARN_EVERY_MS) return known;
  memory.learned = { ...(await learned(ctx.db)), at: ctx.now() };
  return memory.learned;
}

/** Goes through the candidates until one is on its way, or EC2 is to be left alone. */
export async function carryOut(
  ctx: Ec2Context,
  memory: Memory,
  decision: Decision,
  found: ReadonlyMap<string, Instance>,
): Promise<void> {
  let { strangers, newestId } = decision;
  for (const candidate of decision.candidates) {
    const { instanceId, need } = candidate;
    const instance = found.get(instanceId);
    const standing = standingOf(instance);
    if (standing !== "gone") memory.gone.delete(instanceId);
    else tellGone(ctx, memory, instanceId, instance);
    // One that runs is believed to be where a live worker is that nobody knows the place of.
    const isServed = standing === "up" && strangers-- > 0;
    if (standing === "gone" || standing === "later" || isServed) continue;
    if (ctx.dryRun) return tellDryRun(ctx, memory, candidate, decision.bootMs);
    const since = ctx.now();
    const turn = await openIntent(ctx.db.sql, {
      instanceId,
      source: standing === "start" ? "loop" : "found",
      reason: wordsOf(need, decision.bootMs),
      brokerId: ctx.brokerId,
      launchedBefore: instance?.launchedAt ?? null,
      knownWorkers: await liveWorkers(ctx.db),
      basis: { newestId, maxStarts: ctx.maxStarts },
    });
    // Another broker was first: what it does is to be seen before anything else is decided.
    if (turn === null) return;
    memory.needSince = undefined;
    if (standing !== "start")
      return ctx.log.info({ instanceId }, "the instance is up or coming; its worker is waited for");
    ctx.log.info({ instanceId, ...need }, `starting the instance: ${wordsOf(need, decision.bootMs)}`);
    const { trouble } = await callStart(ctx, turn, instanceId, since);
    if (trouble === undefined || !ctx.pause.isOver()) return;
    newestId = turn.intentId;
  }
  memory.idleUntil = ctx.now() + IDLE_MS;
}

function tellGone(ctx: Ec2Context, memory: Memory, instanceId: string, instance: Instance | undefined): void {
  if (memory.gone.has(instanceId)) return;
  memory.gone.add(instanceId);
  const what = instance === undefined ? `EC2 knows no instance ${instanceId}` : `${instanceId} is ${instance.state}`;
  ctx.log.error({ instanceId }, `${what}: ${goneAdvice(ctx)}`);
}

function tellDryRun(ctx: Ec2Context, memory: Memory, { instanceId, need }: Candidate, bootMs: number): void {
  memory.idleUntil = ctx.now() + IDLE_MS;
  const last = memory.named.get(instanceId);
  if (last !== undefined && ctx.now() - last < ctx.coolDownMs) return;
  memory.named.set(instanceId, ctx.now());
  const reason = wordsOf(need, bootMs);
  ctx.dryRuns.unshift({ instanceId, reason, wantedAt: new Date() });
  ctx.dryRuns.splice(MOST_DRY_RUNS);
  ctx.log.info({ instanceId, ...need }, `EC2_DRY_RUN: would start the instance: ${reason}`);
}
