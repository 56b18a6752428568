/** Times and durations as people write and read them. */
import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import { InvalidArgumentError } from "commander";
import { shortDuration } from "../short-duration.ts";

const UNITS_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `90`, `90s`, `500ms`, `2m`, `1h`, `3d` in ms; a plain number is seconds. Throws what commander prints. */
export function parseDurationMs(text: string): number {
  const parts = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text.trim());
  if (!parts) throw new InvalidArgumentError("Give a duration such as 500ms, 30s, 5m or 1h.");
  return Math.round(Number(parts[1]) * (UNITS_MS[parts[2] ?? "s"] ?? 1000));
}

/** A time (2026-01-31T09:00:00Z), or one from now: +10m, -2h. Throws what commander prints. */
export function parseTime(text: string, now: number = Date.now()): Date {
  const relative = /^([+-])(.+)$/.exec(text.trim());
  if (relative) {
    const ms = parseDurationMs(relative[2] ?? "");
    return new Date(relative[1] === "+" ? now + ms : now - ms);
  }
  const date = new Date(text);
  // A date without a time zone would be read in this machine's, which is seldom what was meant.
  const whole = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)$/i.test(text.trim());
  if (!whole || Number.isNaN(date.getTime())) {
    throw new InvalidArgumentError("Give a time such as 2026-01-31T09:00:00Z, or one from now such as +10m.");
  }
  return date;
}

/** How long ago, or in how long; by this machine's clock. Empty when there is no such time. */
export function ago(time: Timestamp | undefined, now: number = Date.now()): string {
  if (time === undefined) return "";
  const ms = now - timestampDate(time).getTime();
  return ms < -999 ? `in ${shortDuration(-ms)}` : `${shortDuration(Math.max(0, ms))} ago`;
}

/** A time for people who compare it with a log. */
export function iso(time: Timestamp | undefined): string {
  return time === undefined ? "" : timestampDate(time).toISOString();
}
