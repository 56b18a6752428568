/**
 * Starts stopped worker instances on EC2, and never stops one: by a loop, where due jobs wait that no live worker has a
 * seat for and a start pays (job/ec2-need.ts), and by hand. Each start is a row first (store/ec2.ts), so that it is made
 * once, whatever brokers do and whenever they die: docs/decisions/016. What people need to know is in docs/ec2.md.
 */

import type { DryRun, StartResult } from "../job/ec2-states.ts";
import { openIntents } from "../store/ec2-view.ts";
import { Ec2Fault } from "./ec2-api.ts";
import { startByHand } from "./ec2-by-hand.ts";
import { restOf, troubleWords } from "./ec2-call.ts";
import { type Ec2Context, type Ec2Options, ec2Context } from "./ec2-context.ts";
import { bootTime, carryOut, createMemory, decide, type Memory } from "./ec2-decide.ts";
import { follow, greet, lookWorthy } from "./ec2-watch.ts";
import type { Loop } from "./loop.ts";

export interface Ec2 {
  /** Empty where no instance is configured. */
  loops: Loop[];
  /** By hand; no ids: all that are configured. Throws BAD_FIELD for one that is not. */
  start(instanceIds: readonly string[]): Promise<StartResult[]>;
  /** What the loop would have started but for EC2_DRY_RUN, the latest first, at most 50. */
  dryRuns(): readonly DryRun[];
}

const EVERY_MS = 5_000;
/** A worker that is late is looked after less often than one that is expected. */
const LOOK_EVERY_MS = 30_000;

/** Loads nothing of AWS's and calls nobody until it is needed. */
export function createEc2(options: Ec2Options): Ec2 {
  const ctx = ec2Context(options);
  const memory = createMemory();
  const late = { lookedAt: Number.NEGATIVE_INFINITY };
  const loop = { name: "ec2", everyMs: EVERY_MS, once: async () => void (await round(ctx, memory, late)) };
  return {
    loops: ctx.instanceIds.length > 0 ? [loop] : [],
    start: (instanceIds) => startByHand(ctx, instanceIds),
    dryRuns: () => ctx.dryRuns,
  };
}

/** Looks after what is on its way, then decides whether something more is to be started. */
async function round(ctx: Ec2Context, memory: Memory, late: { lookedAt: number }): Promise<void> {
  const { open } = await openIntents(ctx.db);
  const expected = await greet(ctx, open);
  if (!ctx.pause.isOver()) return;
  try {
    await lookAfter(ctx, memory, late, expected);
    const decision = await decide(ctx, memory);
    if (decision === null || !ctx.pause.isOver()) return;
    const api = await ctx.api();
    const found = await api.describe(decision.candidates.map(({ instanceId }) => instanceId));
    await carryOut(ctx, memory, decision, found);
  } catch (err) {
    if (!(err instanceof Ec2Fault)) throw err;
    const pauseMs = restOf(ctx, err) ?? 0;
    const away = `is EC2 reachable from here? It is asked again in ${pauseMs / 1_000} s`;
    const advice = err.trouble === "unknown" ? away : troubleWords(ctx, err.trouble).advice;
    // Not once a round: the pause is an hour where permission is missing, and grows where EC2 is away.
    ctx.log.error({ code: err.code, pauseMs }, `no instance can be looked at or started: ${err.message}: ${advice}`);
  }
}

async function lookAfter(
  ctx: Ec2Context,
  memory: Memory,
  late: { lookedAt: number },
  expected: Awaited<ReturnType<typeof greet>>,
): Promise<void> {
  if (expected.length === 0) return;
  const bootMs = await bootTime(ctx, memory);
  const worthy = lookWorthy(expected, bootMs);
  const isLeft = worthy.some((intent) => intent.isLeft);
  if (worthy.length === 0 || (!isLeft && ctx.now() - late.lookedAt < LOOK_EVERY_MS)) return;
  late.lookedAt = ctx.now();
  const api = await ctx.api();
  await follow(ctx, worthy, await api.describe(worthy.map(({ instanceId }) => instanceId)), bootMs);
}
