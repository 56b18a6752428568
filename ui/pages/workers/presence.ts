/** Whether a worker is there. A stream says so itself; of others only their calls do. */
import type { Worker } from "../../../src/gen/aibroker/v1/admin_service_pb.ts";
import { msOf } from "../../wire/convert.ts";

export type Presence = "live" | "quiet" | "gone";

/** A legacy worker asks every few seconds, so this is silence. */
const LEGACY_QUIET_MS = 8_000;
/** A call may wait for 30 s, and a heartbeat come every 40 s: only then it is silence. */
const CALLER_QUIET_MS = 45_000;
const GONE_MS = 120_000;
/** Whom it heard a broker writes down some seconds later, as of then: for so long a stream may be heard after its end. */
const WRITTEN_LATE_MS = 10_000;

/** Who had a stream and has none any more has died or left, and need not be waited for. */
export function presenceOf(worker: Worker, nowMs: number): Presence {
  if (worker.streams.length > 0) return "live";
  if (hasLeft(worker)) return "gone";
  const silentMs = nowMs - seenMs(worker);
  if (silentMs > GONE_MS) return "gone";
  return silentMs > (worker.legacy ? LEGACY_QUIET_MS : CALLER_QUIET_MS) ? "quiet" : "live";
}

/** How it works: by a stream, by calls, or at the old endpoints. */
export function wayOf(worker: Worker): "stream" | "calls" | "legacy" {
  if (worker.streams.length > 0 || hasLeft(worker)) return "stream";
  return worker.legacy ? "legacy" : "calls";
}

/** The end of its stream is the newest that is known of it. */
function hasLeft(worker: Worker): boolean {
  const endedMs = msOf(worker.lastStreamEndedAt);
  return endedMs !== undefined && seenMs(worker) - endedMs < WRITTEN_LATE_MS;
}

function seenMs({ lastSeenAt }: Worker): number {
  return msOf(lastSeenAt) ?? 0;
}
