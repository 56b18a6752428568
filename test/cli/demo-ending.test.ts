import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import type { Seen } from "../../src/cli/demo/board.ts";
import { embed } from "../../src/cli/demo/embedding.ts";
import { closingText, countOf, faultsIn } from "../../src/cli/demo/ending.ts";
import { loadSheets, type Sheet, textOf } from "../../src/cli/demo/sheets.ts";
import { painter } from "../../src/cli/demo/text.ts";
import { JobSchema } from "../../src/gen/aibroker/v1/job_pb.ts";

const sheets = await loadSheets();

function done(sheet: Sheet, type: string, result: Record<string, unknown>, attempts = 1): Seen {
  const rest = {
    jobId: `${type}-${sheet.name}`,
    status: "DONE",
    worker: "w",
    lastError: "",
    job: create(JobSchema),
  } as const;
  return { ...rest, sheet: sheet.name, type, attempts, result };
}

/** All jobs as they are at the end of a good demo: the first ocr job has lost a lease. */
function goodEnd(): Seen[] {
  return sheets.flatMap((sheet, index) => [
    done(sheet, "question_segmentation", { questions: sheet.questions }),
    done(sheet, "ocr", { text: textOf(sheet) }, index === 0 ? 2 : 1),
    done(sheet, "embedding", { vectors: [embed("text")] }),
    done(sheet, "problem_generation", { problems: sheet.questions }),
  ]);
}

test("a good end has no fault and tells every text", () => {
  const jobs = goodEnd();
  const count = countOf(jobs, 0);
  expect(count).toEqual({ jobs: 12, retries: 1, failedAttempts: 0, lostLeases: 1 });
  expect(faultsIn(jobs, sheets, count)).toEqual([]);
  const text = closingText(jobs, sheets, count, 8123, painter(false));
  for (const line of sheets.flatMap((sheet) => textOf(sheet).split("\n"))) expect(text).toContain(line);
  expect(text).toContain("12 jobs of 4 types, all DONE · 1 retry: 1 lost lease, 0 failed attempts · 8.1 s");
});

test("a failed attempt is no lost lease", () => {
  expect(countOf([{ ...(goodEnd()[0] as Seen), attempts: 4 }], 2)).toMatchObject({ retries: 3, lostLeases: 1 });
});

test("a missing job, a wrong text and a lease that was not lost are faults", () => {
  const jobs = goodEnd().slice(1);
  const [ocr] = jobs;
  if (ocr === undefined) throw new Error("there is no ocr job");
  ocr.attempts = 1;
  ocr.result = { text: "nothing like it" };
  const faults = faultsIn(jobs, sheets, countOf(jobs, 0));
  expect(faults).toHaveLength(3);
  expect(faults[0]).toBe("question_segmentation of math: 0 jobs where one was dispatched");
  expect(faults[1]).toMatch(/^ocr of math: the text is wrong\n.*\n.*nothing like it/);
  expect(faults[2]).toBe("a worker was killed, but no lease was lost");
});
