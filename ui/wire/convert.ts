/** Plain values of protobuf's: numbers, and times in ms since 1970. */
import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";
import { durationFromMs, durationMs, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";

export function msOf(time: Timestamp | undefined): number | undefined {
  return time && timestampMs(time);
}

export function spanOf(duration: Duration | undefined): number | undefined {
  return duration && durationMs(duration);
}

export { durationFromMs, timestampFromMs };
