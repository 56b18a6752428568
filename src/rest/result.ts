/** POST …/job/result/: what became of a job. */
import type { Moves } from "../dispatch/moves.ts";
import { cut, LIMITS } from "../job/limits.ts";
import { isTerminal } from "../job/status.ts";
import type { LegacyVerdict } from "../store/rows.ts";
import type { Fields } from "./data.ts";
import { dumps } from "./python-dumps.ts";
import { isTruthy, type PyValue, str, strip } from "./python-text.ts";
import { Refusal } from "./refusal.ts";
import { textFlaw, valueFlaw } from "./storable.ts";

interface Reported {
  jobId: string;
  status: "DONE" | "FAILED";
  /** Null where it is absent, null or empty. */
  result: PyValue;
  /** Empty for DONE. */
  error: string;
}

/** Reports; the answer's body. Throws Refusal, in the order of the checks of the original. */
export async function result(
  moves: Pick<Moves, "legacyReport" | "legacyStatus">,
  workerId: string,
  fields: Fields,
): Promise<PyValue> {
  const reported = read(fields);
  const { jobId, status, error } = reported;
  const inId = textFlaw(jobId);
  if (inId !== undefined) throw new Refusal(400, `job_id ${inId}`);
  if (jobId.length > 2 * LIMITS.id || cut(jobId, LIMITS.id) !== jobId) throw notFound();
  const flaw = flawOf(reported);
  if (flaw !== undefined) {
    const now = await moves.legacyStatus(jobId);
    if (now === null) throw notFound();
    if (isTerminal(now)) return ok("duplicate_ignored");
    throw new Refusal(400, flaw);
  }
  const verdict = await moves.legacyReport({
    jobId,
    // No holder has a longer one, so nothing is lost but log space.
    workerId: workerId.slice(0, LIMITS.workerId + 1),
    status,
    result: reported.result === null ? null : dumps(reported.result),
    error,
  });
  if (verdict === "not_found") throw notFound();
  return ok(verdict);
}

function ok(verdict: Exclude<LegacyVerdict, "not_found">): PyValue {
  return new Map<string, PyValue>([
    ["ok", true],
    ["detail", verdict],
  ]);
}

function read(fields: Fields): Reported {
  const jobId = fields.get("job_id") ?? null;
  if (!isTruthy(jobId)) throw new Refusal(400, "job_id required");
  const status = strip(str(given(fields, "status") ?? "DONE").toUpperCase());
  if (status !== "DONE" && status !== "FAILED") throw new Refusal(400, "status must be DONE or FAILED");
  const value = fields.get("result") ?? null;
  if (value !== null && !(value instanceof Map)) throw new Refusal(400, "result must be object or null");
  // Cut twice: a code point is at most two units, and the finer cut is dear on a long text.
  const error = status === "DONE" ? "" : str(given(fields, "error") ?? "failed").slice(0, 2 * LIMITS.error);
  return { jobId: str(jobId), status, result: isTruthy(value) ? value : null, error: cut(error, LIMITS.error) };
}

/** The field's value unless it is falsy. */
function given(fields: Fields, name: string): PyValue | undefined {
  const value = fields.get(name) ?? null;
  return isTruthy(value) ? value : undefined;
}

function flawOf({ result: value, error }: Reported): string | undefined {
  const inResult = valueFlaw(value);
  if (inResult !== undefined) return `result ${inResult}`;
  const inError = textFlaw(error);
  return inError === undefined ? undefined : `error ${inError}`;
}

function notFound(): Refusal {
  return new Refusal(404, "job not found");
}
