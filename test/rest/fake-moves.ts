/** Moves that remember how they were called. */
import type { Status } from "../../src/job/status.ts";
import type { ShimOptions } from "../../src/rest/shim.ts";
import type { Lease, LeaseRef, LegacyReport, LegacyVerdict } from "../../src/store/rows.ts";

export interface FakeMoves {
  moves: ShimOptions["moves"];
  /** Worker ids of the claims, in order. */
  claims: string[];
  reports: LegacyReport[];
  releases: { workerId: string; leases: LeaseRef[]; reason: string }[];
}

export interface FakeBehaviour {
  next?: (workerId: string) => Promise<Lease | null>;
  report?: (report: LegacyReport) => Promise<LegacyVerdict>;
  status?: (jobId: string) => Promise<Status | null>;
  release?: () => Promise<never[]>;
}

export function fakeMoves(behaviour: FakeBehaviour = {}): FakeMoves {
  const fake: FakeMoves = {
    claims: [],
    reports: [],
    releases: [],
    moves: {
      async legacyNext(workerId) {
        fake.claims.push(workerId);
        return (await behaviour.next?.(workerId)) ?? null;
      },
      async legacyReport(report) {
        fake.reports.push(report);
        return (await behaviour.report?.(report)) ?? (report.status === "DONE" ? "done" : "failed_recorded");
      },
      legacyStatus: async (jobId) => (behaviour.status ?? (async () => "RUNNING" as const))(jobId),
      async release(workerId, leases, reason) {
        fake.releases.push({ workerId, leases, reason });
        return (await behaviour.release?.()) ?? [];
      },
    },
  };
  return fake;
}

/** A claimed job. */
export function lease(more: Partial<Lease> = {}): Lease {
  const now = new Date();
  return {
    jobId: "j1",
    type: "ocr",
    tenantId: null,
    sourceDomain: null,
    sourceId: null,
    priority: 0,
    maxAttempts: 5,
    runAt: now,
    idempotencyKey: null,
    traceparent: null,
    createdAt: now,
    payload: '{"image_path": "a.png"}',
    token: "token-1",
    attempt: 1,
    expiresAt: now,
    leaseMs: 120_000,
    workerId: "ai-worker",
    ...more,
  };
}
