/** Milliseconds as google.protobuf.Duration. */
import { type Duration, durationFromMs } from "@bufbuild/protobuf/wkt";

/** Whole milliseconds, never negative. */
export function duration(ms: number): Duration {
  return durationFromMs(Math.max(0, Math.round(ms)));
}

/** Absent for null. */
export function optionalDuration(ms: number | null): Duration | undefined {
  return ms === null ? undefined : duration(ms);
}
