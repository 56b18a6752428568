/** Looks into the database for what messages of other brokers should have told: streams and leases that are no more. */
import type { Sql } from "../store/db.ts";
import { leaseVerdicts } from "../store/lease-verdicts.ts";
import { type SessionRef, staleSessions } from "../store/sessions.ts";
import { supersededBy } from "./session-faults.ts";
import type { Sessions } from "./sessions.ts";
import { runStatement } from "./statement.ts";
import type { WorkSession } from "./work-session.ts";

export interface StreamChecks {
  /** What became of the leases of these streams; each is told what it does not know. */
  leases(open: WorkSession[]): Promise<void>;
  /** Ends those of the streams that are no longer the current one of their instance. */
  currency(refs: SessionRef[]): Promise<void>;
  /** Both, for all streams. */
  all(): Promise<void>;
}

/** Each rejects with BrokerError when the database is away. */
export function createStreamChecks(sql: Sql, sessions: Sessions): StreamChecks {
  const checks: StreamChecks = {
    async leases(open) {
      const leases = open.flatMap((session) => session.leases());
      if (leases.length === 0) return;
      const verdicts = await runStatement(() => leaseVerdicts(sql, leases));
      leases.forEach((lease, at) => {
        const verdict = verdicts[at];
        if (verdict === "SETTLED") sessions.settled(lease);
        if (verdict === "LOST") sessions.lost(lease.token);
        if (verdict === "CANCEL") sessions.cancelled(lease.token);
      });
    },
    async currency(refs) {
      const unique = [...new Map(refs.map((ref) => [ref.sessionId, ref])).values()];
      const stale = await runStatement(() => staleSessions(sql, unique));
      const times = new Map(stale.map(({ sessionId, supersedes }) => [sessionId, supersedes]));
      const ended = unique.flatMap(({ instanceId, sessionId }) => {
        const session = sessions.get(instanceId);
        const count = times.get(sessionId);
        if (count === undefined || session?.facts.sessionId !== sessionId) return [];
        return [sessions.end(session, supersededBy(count))];
      });
      await Promise.all(ended);
    },
    async all() {
      if (sessions.count === 0) return;
      await checks.currency(sessions.all().map(({ facts }) => facts));
      await checks.leases(sessions.all());
    },
  };
  return checks;
}
