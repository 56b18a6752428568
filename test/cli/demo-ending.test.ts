import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import type { Account } from "../../src/cli/demo/account.ts";
import type { Seen } from "../../src/cli/demo/board.ts";
import { embed } from "../../src/cli/demo/embedding.ts";
import { closingText, resultFaults } from "../../src/cli/demo/ending.ts";
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

const account: Account = {
  jobs: 12,
  handOuts: 14,
  retries: 2,
  failedAttempts: 1,
  lostLeases: 1,
  returned: 0,
  restarts: [
    { broker: "broker-1", atMs: 1, tookMs: 1234 },
    { broker: "broker-2", atMs: 2, tookMs: 987 },
  ],
  faults: [],
};

test("a good end has no fault, and tells every text and the account", () => {
  const jobs = goodEnd();
  expect(resultFaults(jobs, sheets)).toEqual([]);
  const text = closingText(jobs, sheets, account, 8123, painter(false));
  for (const line of sheets.flatMap((sheet) => textOf(sheet).split("\n"))) expect(text).toContain(line);
  expect(text).toContain(
    "12 jobs of 4 types, all DONE · 2 retries: 1 lost lease, 1 failed attempt · 2 broker restarts · 8.1 s",
  );
  expect(text).toContain("nothing lost: 14 hand-outs = 12 done + 1 failed attempt + 1 lost lease\n");
  expect(text).toContain("in the middle of a job that went on: broker-1 in 1.2 s, broker-2 in 1.0 s");
});

test("what was given back unworked is told where there was any", () => {
  const text = closingText(goodEnd(), sheets, { ...account, handOuts: 15, returned: 1 }, 1, painter(false));
  expect(text).toContain("15 hand-outs = 12 done + 1 failed attempt + 1 lost lease + 1 given back unworked");
});

test("a missing job and a wrong text are faults", () => {
  const jobs = goodEnd().slice(1);
  const [ocr] = jobs;
  if (ocr === undefined) throw new Error("there is no ocr job");
  ocr.result = { text: "nothing like it" };
  const faults = resultFaults(jobs, sheets);
  expect(faults).toHaveLength(2);
  expect(faults[0]).toBe("question_segmentation of math: 0 jobs where one was dispatched");
  expect(faults[1]).toMatch(/^ocr of math: the text is wrong\n.*\n.*nothing like it/);
});
