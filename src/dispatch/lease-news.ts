/** What a move did to a lease, told to whoever streams to its worker: here at once, on another broker by message. */
import type { LeaseRef } from "../store/rows.ts";
import type { Courier } from "./courier.ts";
import type { Sessions } from "./sessions.ts";

export interface LeaseNews {
  /** Its worker reported or released it, or was told that it is lost. `instanceId`: whose stream it came by. */
  settled(lease: LeaseRef, instanceId: string | null): void;
  /** It was taken away from its worker. */
  lost(token: string | null, instanceId: string | null): void;
  /** Its job is to be cancelled. */
  cancelled(token: string | null, instanceId: string | null): void;
}

export function createLeaseNews(sessions: Sessions, courier: Pick<Courier, "touched">): LeaseNews {
  const tell = (isHere: boolean, instanceId: string | null) => {
    if (!isHere && instanceId !== null && sessions.get(instanceId) === undefined) courier.touched(instanceId);
  };
  return {
    settled: (lease, instanceId) => tell(sessions.settled(lease), instanceId),
    lost: (token, instanceId) => tell(token !== null && sessions.lost(token), instanceId),
    cancelled: (token, instanceId) => tell(token !== null && sessions.cancelled(token), instanceId),
  };
}
