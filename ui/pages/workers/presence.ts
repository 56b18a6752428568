/** Whether a worker is there. A stream says so itself; of others only their calls do. */
import type { Worker } from "../../../src/gen/aibroker/v1/admin_service_pb.ts";
import { msOf } from "../../wire/convert.ts";

export type Presence = "live" | "quiet" | "gone";

/** A legacy worker asks every few seconds, so this is silence. */
const LEGACY_QUIET_MS = 8_000;
/** A call may wait for 30 s, and a heartbeat come every 40 s: only then it is silence. */
const CALLER_QUIET_MS = 45_000;
const GONE_MS = 120_000;

export interface PresenceBook {
  /** Takes notice of a list. */
  note(workers: readonly Worker[]): void;
  of(worker: Worker, nowMs: number): Presence;
}

/** Remembers who had a stream: who has none any more has died or left, and need not be waited for. */
export function createPresence(): PresenceBook {
  const streamed = new Set<string>();
  return {
    note(workers) {
      for (const { workerId, streams } of workers) if (streams.length > 0) streamed.add(workerId);
    },
    of(worker, nowMs) {
      if (worker.streams.length > 0) return "live";
      if (streamed.has(worker.workerId)) return "gone";
      const silentMs = nowMs - (msOf(worker.lastSeenAt) ?? 0);
      if (silentMs > GONE_MS) return "gone";
      return silentMs > (worker.legacy ? LEGACY_QUIET_MS : CALLER_QUIET_MS) ? "quiet" : "live";
    },
  };
}

/** How it works: by a stream, by calls, or at the old endpoints. */
export function wayOf({ streams, legacy }: Worker): "stream" | "calls" | "legacy" {
  if (streams.length > 0) return "stream";
  return legacy ? "legacy" : "calls";
}
