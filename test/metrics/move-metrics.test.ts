/** What the recorder of the moves makes of what the store answers. */
import { expect, test } from "vitest";
import { createMoveMetrics } from "../../src/metrics/move-metrics.ts";
import { MOVES } from "../../src/metrics/outcomes.ts";
import type { Spread } from "../../src/metrics/spread.ts";
import { TypeNames } from "../../src/metrics/type-names.ts";
import type { Age, Lease, Reported, ReportStatus, Trace } from "../../src/store/rows.ts";

const SECOND = 1_000;
const NOW = Date.parse("2026-01-01T12:00:00Z");
const at = (seconds: number) => new Date(NOW + seconds * SECOND);

/** A lease that began at NOW, of a job that was dispatched 10 s before. */
function lease(more: Partial<Lease> = {}): Lease {
  const leaseMs = 60 * SECOND;
  return {
    jobId: "j",
    type: "ocr",
    payload: "{}",
    tenantId: null,
    sourceDomain: null,
    sourceId: null,
    priority: 0,
    maxAttempts: 5,
    runAt: at(-10),
    idempotencyKey: null,
    traceparent: null,
    createdAt: at(-10),
    token: "t",
    attempt: 1,
    expiresAt: new Date(NOW + leaseMs),
    leaseMs,
    workerId: "w",
    ...more,
  };
}

const trace = (more: Partial<Trace & Age> = {}): Trace & Age => ({
  type: "ocr",
  attempt: 1,
  to: null,
  durationMs: 2 * SECOND,
  ageMs: 12 * SECOND,
  instanceId: null,
  ...more,
});

const reported = (status: ReportStatus, to: Trace["to"] = null): Reported => ({
  jobId: "j",
  status,
  ...trace({ to, ...(to === null ? { type: null, durationMs: null, ageMs: null } : {}) }),
});

const sums = (spread: Spread) => [...spread].map(({ name, count, sum }) => [name, count, sum]);

function given() {
  const metrics = createMoveMetrics(new TypeNames());
  const counted = () =>
    MOVES.flatMap((move) =>
      [...metrics.tallies[move]].map(({ name, outcome, count }) => `${move} ${outcome} ${name}: ${count}`),
    );
  return { ...metrics, counted };
}

test("a job's wait is from when it was due, by the database's clock: dispatch, run_at, or the end of a back-off", () => {
  const { record, assign } = given();
  record.claimed([lease()], [], 1);
  record.claimed([lease({ createdAt: at(-3_600), runAt: at(-1) })], [], 1);
  record.claimed([lease({ createdAt: at(-60), runAt: at(-4), attempt: 2 })], [], 1);
  expect(sums(assign)).toEqual([["ocr", 3, 15]]);
});

test("a job's whole time is what its report says, whoever handed it out; a failure has none", () => {
  const { record, done } = given();
  const ref = { jobId: "j", token: "of another broker" };
  record.reported([ref, ref], [reported("ACCEPTED", "DONE"), reported("ACCEPTED", "FAILED")], 1);
  record.legacyReported({ verdict: "done", token: null, ...trace({ to: "DONE", ageMs: 3 * SECOND }) });
  record.reported([ref, ref], [reported("RETRYING", "PENDING"), reported("DUPLICATE")], 1);
  expect(sums(done)).toEqual([["ocr", 2, 15]]);
});

test("every answer of the store has its outcome", () => {
  const { record, counted } = given();
  const ref = { jobId: "j", token: "t" };
  const all: Reported[] = [
    reported("ACCEPTED", "DONE"),
    reported("ACCEPTED", "FAILED"),
    reported("RETRYING", "PENDING"),
    reported("CANCELLED", "CANCELLED"),
    reported("DUPLICATE"),
    reported("CONFLICT"),
    reported("LEASE_LOST"),
    reported("NOT_FOUND"),
  ];
  record.reported(
    all.map(() => ref),
    all,
    1,
  );
  record.legacyReported({ verdict: "not_found", token: null, ...trace({ type: null }) });
  record.legacyReported({ verdict: "duplicate_ignored", token: null, ...trace() });
  record.legacyReported({ verdict: "done", token: "t", ...trace({ to: "DONE" }) });
  record.legacyReported({ verdict: "failed_recorded", token: "t", ...trace({ to: "PENDING" }) });
  record.legacyReported({ verdict: "failed_recorded", token: "t", ...trace({ to: "FAILED" }) });
  record.claimed([], [{ jobId: "j", workerId: null, token: null, ...trace({ to: "CANCELLED" }) }], 1);
  record.released(
    [ref, ref],
    [
      { jobId: "j", released: false, ...trace({ type: null }) },
      { jobId: "j", released: true, ...trace({ to: "FAILED" }) },
    ],
  );
  record.renewed([{ jobId: "j", verdict: "LOST", type: null, expiresAt: null }]);
  expect(counted().sort()).toEqual([
    "claim cancelled ocr: 1",
    "heartbeat lost : 1",
    "release failed ocr: 1",
    "release not_held : 1",
    "report cancelled ocr: 1",
    "report conflict : 1",
    "report done ocr: 2",
    "report duplicate : 1",
    "report duplicate ocr: 1",
    "report failed ocr: 2",
    "report lease_lost : 1",
    "report not_found : 2",
    "report retrying ocr: 2",
  ]);
});

test("a statement is under way in its pool until it ends, and its time is counted", () => {
  const { record, inFlight, statements } = given();
  record.began("claim");
  record.began("report");
  record.began("claim");
  expect(inFlight).toEqual({ main: 2, reserved: 1 });
  record.ended("claim", 250);
  record.ended("claim", 750);
  record.ended("report", 0);
  expect([inFlight, sums(statements)]).toEqual([
    { main: 0, reserved: 0 },
    [
      ["claim", 2, 1],
      ["report", 1, 0],
    ],
  ]);
});
