/** AdminService.GetHistory: the request as the store takes it, and the series in the words of the protos. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { badField } from "../errors.ts";
import type { GetHistoryRequest, GetHistoryResponseSchema } from "../gen/aibroker/v1/admin_service_pb.ts";
import { quantileMs } from "../job/histogram.ts";
import { type HistoryAsked, type HistoryPoint, readHistory } from "../store/history-read.ts";
import { timestamp } from "./convert.ts";
import { duration, optionalDuration } from "./duration.ts";
import type { ServiceContext } from "./service-context.ts";
import { durationMs } from "./validate.ts";
import { jobType } from "./validate-job.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const LONGEST_MS = 7 * DAY_MS;
const MOST_TYPES = 50;

export async function getHistory(
  { db }: Pick<ServiceContext, "db">,
  request: GetHistoryRequest,
): Promise<MessageInitShape<typeof GetHistoryResponseSchema>> {
  const { stepS, pointS, points } = stepsOf(spanMs(request));
  const types = jobTypes(request.types);
  const history = await readHistory(db, { stepS, pointS, points, types: types.length === 0 ? "all" : types });
  const byType = Map.groupBy(history.points, ({ type }) => type);
  const names = types.length === 0 ? [""] : types;
  return {
    series: names.map((type) => ({ type, points: (byType.get(type) ?? []).map(historyPoint) })),
    step: duration(pointS * 1_000),
    firstAt: timestamp(history.firstAt),
    lastAt: timestamp(history.lastAt),
    countedTo: timestamp(history.countedTo),
  };
}

function spanMs({ span }: GetHistoryRequest): number {
  const ms = durationMs("span", span, LONGEST_MS) ?? HOUR_MS;
  if (ms < MINUTE_MS) throw badField("span", `must be 60..${LONGEST_MS / 1_000} s, got ${ms / 1_000} s`);
  return ms;
}

/** Each series has some 15 to 290 points. */
function stepsOf(ms: number): Omit<HistoryAsked, "types"> {
  const pointS = ms <= 2 * HOUR_MS ? 60 : ms <= DAY_MS ? 300 : 3_600;
  return { stepS: pointS === 60 ? 60 : 300, pointS, points: Math.ceil(ms / 1_000 / pointS) };
}

function jobTypes(types: readonly string[]): string[] {
  if (types.length > MOST_TYPES) {
    throw badField("types", `must hold at most ${MOST_TYPES} types, got ${types.length}: ask in parts`);
  }
  return [...new Set(types.map((type, index) => jobType(`types[${index}]`, type)))];
}

function historyPoint(point: HistoryPoint) {
  return {
    at: timestamp(point.at),
    dispatched: BigInt(point.dispatched),
    started: BigInt(point.started),
    retrying: BigInt(point.retrying),
    done: BigInt(point.done),
    failed: BigInt(point.failed),
    cancelled: BigInt(point.cancelled),
    waitP50: optionalDuration(quantileMs(point.waited, 0.5)),
    waitP95: optionalDuration(quantileMs(point.waited, 0.95)),
    runP50: optionalDuration(quantileMs(point.ran, 0.5)),
    runP95: optionalDuration(quantileMs(point.ran, 0.95)),
  };
}
