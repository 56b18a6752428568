/** The numbers of all types together. */
import type { StatsNow } from "../../../src/gen/aibroker/v1/stats_pb.ts";
import { msOf, spanOf } from "../../wire/convert.ts";

export interface Totals {
  due: number;
  scheduled: number;
  running: number;
  donePerMinute: number;
  failedPerMinute: number;
  /** Since when the oldest due job has waited. */
  oldestDueAt: number | undefined;
  /** When the last type has no due job left; undefined where one does not get there, or none has any. */
  emptyInMs: number | undefined;
  pausedTypes: number;
}

export function totalsOf({ types }: StatsNow): Totals {
  const sum = (pick: (type: StatsNow["types"][number]) => number) => types.reduce((all, type) => all + pick(type), 0);
  const oldest = types.flatMap(({ oldestDueAt }) => msOf(oldestDueAt) ?? []);
  // A pause holds its type where it is, which is no answer to how long the others take.
  const waiting = types.filter(({ due, paused }) => due > 0n && !paused);
  const spans = waiting.map(({ emptyIn }) => spanOf(emptyIn));
  return {
    due: sum(({ due }) => Number(due)),
    scheduled: sum(({ scheduled }) => Number(scheduled)),
    running: sum(({ running }) => Number(running)),
    donePerMinute: sum((type) => type.donePerMinute),
    failedPerMinute: sum((type) => type.failedPerMinute),
    oldestDueAt: oldest.length === 0 ? undefined : Math.min(...oldest),
    emptyInMs:
      spans.length === 0 || spans.includes(undefined) ? undefined : Math.max(...spans.filter((ms) => ms !== undefined)),
    pausedTypes: types.filter(({ paused }) => paused).length,
  };
}
