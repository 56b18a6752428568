/** A history as the charts draw it: a value for each step, also for those in which nothing happened. */
import type { GetHistoryResponse } from "../../../src/gen/aibroker/v1/admin_service_pb.ts";
import type { HistoryPoint } from "../../../src/gen/aibroker/v1/stats_pb.ts";
import { msOf, spanOf } from "../../wire/convert.ts";

export interface HistoryLines {
  /** Seconds since 1970. */
  times: number[];
  dispatched: number[];
  done: number[];
  failed: number[];
  retrying: number[];
  /** In ms; null where nothing was done. */
  waitP50: (number | null)[];
  waitP95: (number | null)[];
  runP50: (number | null)[];
  runP95: (number | null)[];
}

const MINUTE_MS = 60_000;
/** A step that has only begun says nothing yet: of a smaller part nothing is drawn. */
const LEAST_PART = 0.25;

/** Of the first series. Counts are per minute, whatever the step. */
export function historyLines({ series, step, firstAt, lastAt, countedTo }: GetHistoryResponse): HistoryLines {
  const stepMs = spanOf(step) ?? MINUTE_MS;
  const first = msOf(firstAt) ?? 0;
  const last = msOf(lastAt) ?? first;
  // The last step is under way: its counts are of the part that has passed.
  const part = Math.min(1, ((msOf(countedTo) ?? last) - last) / stepMs);
  const byTime = new Map((series[0]?.points ?? []).map((point) => [msOf(point.at), point]));
  const times: number[] = [];
  const points: (HistoryPoint | undefined)[] = [];
  for (let at = first; at < last || (at === last && part >= LEAST_PART); at += stepMs) {
    times.push(at / 1_000);
    points.push(byTime.get(at));
  }
  const perMinute = (pick: (point: HistoryPoint) => bigint) =>
    points.map((point, index) => {
      const passedMs = times[index] === last / 1_000 ? part * stepMs : stepMs;
      return point === undefined ? 0 : (Number(pick(point)) * MINUTE_MS) / passedMs;
    });
  const spans = (pick: (point: HistoryPoint) => HistoryPoint["waitP50"]) =>
    points.map((point) => (point && spanOf(pick(point))) ?? null);
  return {
    times,
    dispatched: perMinute((point) => point.dispatched),
    done: perMinute((point) => point.done),
    failed: perMinute((point) => point.failed),
    retrying: perMinute((point) => point.retrying),
    waitP50: spans((point) => point.waitP50),
    waitP95: spans((point) => point.waitP95),
    runP50: spans((point) => point.runP50),
    runP95: spans((point) => point.runP95),
  };
}
