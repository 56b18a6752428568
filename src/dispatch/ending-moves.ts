/** How an attempt ends by its worker: reports, of gRPC workers and of legacy ones. */
import { jobStatus } from "../store/job-status.ts";
import { legacyReport } from "../store/legacy-report.ts";
import { report } from "../store/report.ts";
import type * as rows from "../store/rows.ts";
import { createCoalescer, unlessLost } from "./coalescer.ts";
import type { BrokerMoves } from "./moves.ts";
import type { MovesOptions } from "./moves-options.ts";
import { NO_RECORDER } from "./recorder.ts";
import { recordedBy, runStatement } from "./statement.ts";
import { trace, traceAll } from "./trace.ts";

/** Reports that go into one statement; a large result counts for several. */
const REPORT_BATCH = 1_000;
const REPORT_UNIT_BYTES = 16_384;

/** How an attempt ends by its worker. */
export function endingMoves(options: MovesOptions): Pick<BrokerMoves, "report" | "legacyReport" | "legacyStatus"> {
  const { db, waiters, log, news, record = NO_RECORDER } = options;
  const run = recordedBy(record);
  const reports = createCoalescer<rows.Report, rows.Reported>(
    (items) => {
      record.gathered("report", items.length);
      return run("report", () => report(db.reserved, items, options.backoff, options.keptKinds));
    },
    REPORT_BATCH,
    {
      weigh: ({ result }) => 1 + (result?.length ?? 0) / REPORT_UNIT_BYTES,
      // A report whose answer was lost would be told DUPLICATE by its own repetition, and LEASE_LOST if it was retried.
      again: unlessLost,
    },
  );
  return {
    async report(workerId, items) {
      const since = performance.now();
      const settled = await reports.add(items);
      record.reported(items, settled, performance.now() - since);
      traceAll(log, "report", settled, () => ({ worker: workerId }));
      settled.forEach((s, at) => {
        // Whatever the verdict, the lease is no longer held.
        news.settled(items[at] as rows.LeaseRef, s.instanceId);
      });
      // A retry is due only after its backoff: the look finds it then.
      if (settled.some((s) => s.to === "PENDING")) waiters.lookNow();
      return settled;
    },
    async legacyReport(item) {
      const settled = await run("report", () => legacyReport(db.reserved, item, options.backoff, options.keptKinds));
      record.legacyReported(settled);
      trace(log, "report", { ...settled, jobId: item.jobId }, { worker: item.workerId, legacy: true });
      // Its holder on a stream, if there is one, need not go on.
      if (settled.to !== null) news.lost(settled.token, settled.instanceId);
      if (settled.to === "PENDING") waiters.lookNow();
      return settled.verdict;
    },
    legacyStatus: (jobId) => runStatement(() => jobStatus(db.reserved, jobId)),
  };
}
