/** AdminService.WatchStats: the newest numbers, as often as there are new ones and the watcher reads. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import type { WatchStatsRequest, WatchStatsResponseSchema } from "../gen/aibroker/v1/admin_service_pb.ts";
import type { StatsNowSchema } from "../gen/aibroker/v1/stats_pb.ts";
import { asBrokerError } from "../store/database-errors.ts";
import type { StatsNow, TypeNow } from "../store/stats-now.ts";
import { timestamp } from "./convert.ts";
import { optionalDuration } from "./duration.ts";
import { OpenStream, WatcherCount } from "./open-stream.ts";
import type { ServiceContext } from "./service-context.ts";

/** A frame that is under way to the watcher, and a heartbeat. */
const WAITING = { messages: 2, bytes: 16 * 1024 * 1024 };

type Response = MessageInitShape<typeof WatchStatsResponseSchema>;

/** The handler of the RPC. */
export function createWatchStats(ctx: ServiceContext) {
  const watchers = new WatcherCount(ctx.limits.maxWatches);
  const heartbeat = (): Response => ({ frame: { case: "heartbeat", value: {} } });
  return async function* watchStats(_request: WatchStatsRequest, context: HandlerContext) {
    watchers.refuseTooMany();
    const stream = new OpenStream<Response>({ context, limits: ctx.limits, waiting: WAITING, heartbeat });
    watchers.add(stream);
    void tellNewest(ctx, stream);
    yield* stream.outbox;
  };
}

/** Until the stream ends; never rejects. */
async function tellNewest({ statsWatches }: ServiceContext, stream: OpenStream<Response>): Promise<void> {
  let newest: StatsNow | undefined;
  let isTelling = false;

  async function tell(stats: StatsNow): Promise<void> {
    // What the watcher has not read before the next one comes it need not read at all.
    newest = stats;
    if (isTelling) return;
    isTelling = true;
    while (newest !== undefined && !stream.hasEnded) {
      await stream.room(0);
      const value: MessageInitShape<typeof StatsNowSchema> = statsNow(newest);
      newest = undefined;
      stream.say({ frame: { case: "stats", value } }, 1);
    }
    isTelling = false;
  }

  try {
    const { leave } = await statsWatches.watch((stats) => void tell(stats));
    void stream.over.then(leave);
  } catch (err) {
    stream.end(asBrokerError(err));
  }
}

function statsNow({ types, workers, countedAt }: StatsNow): MessageInitShape<typeof StatsNowSchema> {
  return { types: types.map(typeNow), workers, countedAt: timestamp(countedAt) };
}

function typeNow(now: TypeNow) {
  return {
    type: now.type,
    due: BigInt(now.due),
    scheduled: BigInt(now.scheduled),
    running: BigInt(now.running),
    paused: now.paused,
    oldestDueAt: timestamp(now.oldestDueAt),
    dispatchedPerMinute: now.dispatchedPerMinute,
    donePerMinute: now.donePerMinute,
    failedPerMinute: now.failedPerMinute,
    waitP50: optionalDuration(now.waitP50Ms),
    waitP95: optionalDuration(now.waitP95Ms),
    runP50: optionalDuration(now.runP50Ms),
    runP95: optionalDuration(now.runP95Ms),
    emptyIn: optionalDuration(now.emptyInMs),
  };
}
