import { expect, test } from "vitest";
import { painter, widthOf } from "../../src/cli/demo/text.ts";
import { type JobLine, renderView, type View } from "../../src/cli/demo/view.ts";

const plain = painter(false);

function job(more: Partial<JobLine> = {}): JobLine {
  return {
    sheet: "math",
    type: "question_segmentation",
    status: "DONE",
    worker: "legacy-1",
    attempts: 1,
    maxAttempts: 5,
    timeMs: 1234,
    note: "3 questions found",
    ...more,
  };
}

function view(more: Partial<View> = {}): View {
  const jobs = [
    job(),
    job({ type: "ocr", status: "RUNNING", worker: "ocr-2", attempts: 2, note: "lease 2.4 s ▮▮▮▮▮" }),
    job({ sheet: "수학", type: "ocr", status: "PENDING", worker: "", attempts: 0, timeMs: 40, note: "" }),
  ];
  return {
    elapsedMs: 4321,
    headline: "ocr-1 was killed",
    tone: "bad",
    jobs,
    workers: [{ id: "ocr-1", speaks: "gRPC", state: "killed" }],
    mentions: ["math is read"],
    ...more,
  };
}

test("the picture shows each job's state, worker, attempts, time and note", () => {
  expect(renderView(view(), 100, plain).join("\n")).toBe(
    `
ai-job-broker demo                                                                   1/3 done  4.3 s
▸ ocr-1 was killed
┌──────────┬───────────────────────┬───────────┬──────────┬─────────┬────────┬─────────────────────┐
│ sheet    │ job                   │ state     │ worker   │ attempt │   time │                     │
├──────────┼───────────────────────┼───────────┼──────────┼─────────┼────────┼─────────────────────┤
│ math     │ question_segmentation │ ✓ DONE    │ legacy-1 │  1 of 5 │  1.2 s │ 3 questions found   │
│          │ ocr                   │ ● RUNNING │ ocr-2    │  2 of 5 │  1.2 s │ lease 2.4 s ▮▮▮▮▮   │
├──────────┼───────────────────────┼───────────┼──────────┼─────────┼────────┼─────────────────────┤
│ 수학     │ ocr                   │ ○ PENDING │          │         │  0.0 s │                     │
└──────────┴───────────────────────┴───────────┴──────────┴─────────┴────────┴─────────────────────┘
✗ ocr-1 (gRPC) killed
· math is read`.trim(),
  );
});

test.each([40, 58, 60, 66, 67, 77, 78, 80, 99, 140, 200])(
  "no line is wider than a terminal of %i columns",
  (columns) => {
    const long = { headline: "한글 ".repeat(60), mentions: ["m".repeat(300)] };
    const widths = renderView(view(long), columns, plain).map(widthOf);
    expect(Math.max(...widths)).toBeLessThanOrEqual(columns);
    // The table itself stays a rectangle.
    expect(new Set(widths.slice(2, -2)).size).toBe(1);
  },
);

test("a narrow terminal keeps state, worker and attempts before the time and the notes", () => {
  const [, , , titles] = renderView(view(), 60, plain);
  expect(titles).toMatch(/sheet .* job .* state .* worker .* attempt/);
  expect(titles).not.toContain("time");
});

test("colours change nothing but the colours", () => {
  const painted = renderView(view(), 100, painter(true)).join("\n");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character begins each code
  expect(painted.replace(/\x1b\[[\d;]*m/g, "")).toBe(renderView(view(), 100, plain).join("\n"));
  expect(painted).toContain("\x1b[32m✓ DONE");
});

test("before the first job the picture counts none", () => {
  expect(renderView(view({ jobs: [] }), 80, plain)[0]).not.toContain("done");
});
