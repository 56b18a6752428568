/** Which jobs are listed: kept in the address, so that a list can be sent to somebody. */
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { JobStatus } from "../../../src/gen/aibroker/v1/job_pb.ts";
import { STATUSES, type StatusName } from "../../parts/status.tsx";
import { timestampFromMs } from "../../wire/convert.ts";

/** Parts that are texts, in the order in which they are shown. */
export const TEXT_PARTS = ["type", "tenant", "domain", "source", "worker", "error", "after", "before"] as const;
export type TextPart = (typeof TEXT_PARTS)[number];

export type JobsFilter = Readonly<Record<TextPart, string>> & { readonly statuses: readonly StatusName[] };

export function filterOf(query: URLSearchParams): JobsFilter {
  const named = (query.get("status") ?? "").split(",");
  const texts = Object.fromEntries(TEXT_PARTS.map((part) => [part, query.get(part) ?? ""]));
  return { ...(texts as Record<TextPart, string>), statuses: STATUSES.filter((name) => named.includes(name)) };
}

export function queryOf({ statuses, ...texts }: JobsFilter): Record<string, string> {
  return { status: statuses.join(","), ...texts };
}

/** What ListJobs and CountJobs have in common. */
export interface FilterRequest {
  statuses: JobStatus[];
  types: string[];
  tenantId: string | undefined;
  sourceDomain: string | undefined;
  sourceId: string | undefined;
  workerId: string | undefined;
  errorContains: string | undefined;
  createdAfter: Timestamp | undefined;
  createdBefore: Timestamp | undefined;
}

/** Types are separated by commas; times are those of a datetime-local field. */
export function requestOf(filter: JobsFilter): FilterRequest {
  const given = (text: string) => (text === "" ? undefined : text);
  return {
    statuses: filter.statuses.map((name) => JobStatus[name]),
    types: filter.type
      .split(",")
      .map((type) => type.trim())
      .filter((type) => type !== ""),
    tenantId: given(filter.tenant),
    sourceDomain: given(filter.domain),
    sourceId: given(filter.source),
    workerId: given(filter.worker),
    errorContains: given(filter.error),
    createdAfter: timeOf(filter.after),
    createdBefore: timeOf(filter.before),
  };
}

function timeOf(text: string): Timestamp | undefined {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : timestampFromMs(ms);
}
