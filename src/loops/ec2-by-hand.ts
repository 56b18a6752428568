/** A start that a person asks for: no need is weighed, no cool-down and no limit holds, and each id gets its answer. */
import { badField } from "../errors.ts";
import type { Ec2Trouble } from "../job/ec2-faults.ts";
import { type Instance, type StartResult, standingOf, stepOf } from "../job/ec2-states.ts";
import { openIntent, takeOver } from "../store/ec2.ts";
import { type IntentRow, openIntents } from "../store/ec2-view.ts";
import { liveWorkers } from "../store/ec2-workers.ts";
import { Ec2Fault } from "./ec2-api.ts";
import { callStart, goneAdvice, troubleWords } from "./ec2-call.ts";
import type { Ec2Context } from "./ec2-context.ts";
import { follow } from "./ec2-watch.ts";

/** Starts the ids one after another; none given: all that are configured. */
export async function startByHand(ctx: Ec2Context, given: readonly string[]): Promise<StartResult[]> {
  const ids = chosen(ctx, given);
  let found: Map<string, Instance>;
  try {
    found = await (await ctx.api()).describe(ids);
  } catch (err) {
    if (!(err instanceof Ec2Fault)) throw err;
    const { status, advice } = troubleWords(ctx, err.trouble);
    const help =
      err.trouble === "unknown" ? "nothing was started; is EC2 reachable from this broker? Try again" : advice;
    return ids.map((instanceId) => ({ instanceId, status, message: `${err.message}: ${help}` }));
  }
  const results: StartResult[] = [];
  let isAway = false;
  for (const instanceId of ids) {
    // Each could take as long as the first, and the caller does not wait for ever.
    const answer: Answer = isAway ? UNTRIED : await startOne(ctx, instanceId, found.get(instanceId));
    isAway ||= answer.trouble === "unknown";
    results.push({ instanceId, status: answer.status, message: answer.message });
  }
  return results;
}

function chosen({ instanceIds }: Ec2Context, given: readonly string[]): string[] {
  if (instanceIds.length === 0) {
    const what = "nothing can be started, since EC2_WORKER_INSTANCE_IDS of this broker is empty";
    throw badField("instance_ids", `${what}: list the workers' instances there and restart it`);
  }
  for (const [index, id] of given.entries()) {
    // Whoever may dispatch may call this: what it can start is the configuration's matter, not the caller's.
    if (instanceIds.includes(id)) continue;
    throw badField(
      `instance_ids[${index}]`,
      `is not in EC2_WORKER_INSTANCE_IDS of this broker (${instanceIds.join(", ")})`,
    );
  }
  return [...new Set(given.length === 0 ? instanceIds : given)];
}

type Answer = Pick<StartResult, "status" | "message"> & { trouble?: Ec2Trouble };

const UNTRIED: Answer = {
  status: "FAILED",
  message: "not tried, since EC2 did not answer for the one before: try again",
};

async function startOne(ctx: Ec2Context, instanceId: string, instance: Instance | undefined): Promise<Answer> {
  const { open } = await openIntents(ctx.db);
  const intent = open.find((one) => one.instanceId === instanceId);
  const earlier = intent === undefined ? null : await settled(ctx, intent, instance);
  if (earlier !== null) return earlier;
  switch (standingOf(instance)) {
    case "coming":
    case "up":
      return {
        status: "RUNNING",
        message: `it is ${instance?.state} already: \`ai-job-broker workers\` shows its worker`,
      };
    case "later":
      return { status: "STOPPING", message: "it is stopping: wait until it has stopped, then start it again" };
    case "gone": {
      const what = instance === undefined ? "EC2 knows no such instance" : `it is ${instance.state}`;
      return { status: "NOT_FOUND", message: `${what}: ${goneAdvice(ctx)}` };
    }
    case "start":
      return ctx.dryRun ? { status: "DRY_RUN", message: DRY } : await openAndCall(ctx, instanceId, instance);
  }
}

const DRY = "it is stopped and would be started; EC2_DRY_RUN is set on this broker: unset it and restart the broker";
const BUSY = "another broker is starting it: look again in a minute";

async function openAndCall(ctx: Ec2Context, instanceId: string, instance: Instance | undefined): Promise<Answer> {
  const knownWorkers = await liveWorkers(ctx.db);
  const since = ctx.now();
  const turn = await openIntent(ctx.db.sql, {
    instanceId,
    source: "operator",
    reason: "asked for by hand",
    brokerId: ctx.brokerId,
    launchedBefore: instance?.launchedAt ?? null,
    knownWorkers,
  });
  if (turn === null) return { status: "IN_PROGRESS", message: BUSY };
  ctx.log.info({ instanceId }, "starting the instance, as asked for by hand");
  return await callStart(ctx, turn, instanceId, since);
}

/** What an open intent says to it; null: it has ended, or does not stand in the way. */
async function settled(ctx: Ec2Context, intent: IntentRow, instance: Instance | undefined): Promise<Answer | null> {
  const step = stepOf(intent, instance, Number.POSITIVE_INFINITY);
  if (intent.startedAgoMs === null && !intent.isLeft) return { status: "IN_PROGRESS", message: BUSY };
  if (step === "call") {
    if (ctx.dryRun) return { status: "DRY_RUN", message: DRY };
    const since = ctx.now();
    const turn = await takeOver(ctx.db.sql, intent, ctx.brokerId);
    return turn === null
      ? { status: "IN_PROGRESS", message: BUSY }
      : await callStart(ctx, turn, intent.instanceId, since);
  }
  await follow(ctx, [intent], new Map(instance === undefined ? [] : [[instance.id, instance]]), ctx.bootMs);
  if (step === "wait" && standingOf(instance) === "start") {
    return {
      status: "IN_PROGRESS",
      message: "it was started a moment ago; EC2 does not show it yet: look again in a minute",
    };
  }
  return null;
}
