import pino from "pino";
import { expect, test } from "vitest";
import { type Change, trace, traceAll } from "../../src/dispatch/trace.ts";

function given(level = "info") {
  const lines: Record<string, unknown>[] = [];
  const write = (line: string) => void lines.push(JSON.parse(line));
  return { log: pino({ level, base: null, timestamp: false }, { write }), lines };
}

const change = (at: number, to: Change["to"] = "DONE"): Change => ({
  jobId: `j${at}`,
  type: "ocr",
  attempt: 1,
  to,
  durationMs: 1.6,
});
const changes = (count: number, to?: Change["to"]) => Array.from({ length: count }, (_, at) => change(at, to));
const worker = () => ({ worker: "w" });

test("one change is one line, and what changed nothing is none", () => {
  const { log, lines } = given();
  trace(log, "report", change(1), { worker: "w" });
  trace(log, "report", change(2, null));
  const facts = { move: "report", job_id: "j1", type: "ocr", to: "DONE", attempt: 1, duration_ms: 2, worker: "w" };
  expect(lines).toEqual([{ level: 30, ...facts, msg: "report j1 → DONE" }]);
});

test("a few of one statement have a line each", () => {
  const { log, lines } = given();
  traceAll(log, "claim", changes(24), worker);
  expect(lines.map((line) => line["job_id"])).toEqual(changes(24).map(({ jobId }) => jobId));
});

test("many share lines, each state its own, fifty jobs on a line; a lone one is as ever", () => {
  const { log, lines } = given();
  traceAll(log, "report", [...changes(101), change(300, "PENDING"), change(301, null)], worker);
  expect(lines.map(({ move, to, count, msg }) => [move, to, count, msg])).toEqual([
    ["report", "DONE", 50, "report of 50 jobs → DONE"],
    ["report", "DONE", 50, "report of 50 jobs → DONE"],
    ["report", "DONE", undefined, "report j100 → DONE"],
    ["report", "PENDING", undefined, "report j300 → PENDING"],
  ]);
  const jobs = lines.slice(0, 2).flatMap((line) => line["jobs"] as Record<string, unknown>[]);
  expect(jobs.map((job) => job["job_id"])).toEqual(changes(100).map(({ jobId }) => jobId));
  expect(jobs[0]).toEqual({ job_id: "j0", type: "ocr", attempt: 1, duration_ms: 2, worker: "w" });
});

test("nothing is made of them where no such line is written", () => {
  const { log, lines } = given("warn");
  const moreOf = () => {
    throw new Error("made");
  };
  expect(() => traceAll(log, "claim", changes(50), moreOf)).not.toThrow();
  expect(lines).toEqual([]);
});
