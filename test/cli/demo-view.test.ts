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
    brokers: [
      { name: "broker-1", state: "draining" },
      { name: "broker-2", state: "serving" },
    ],
    workers: [
      { id: "ocr-1", by: "stream", state: "killed", broker: undefined },
      { id: "ocr-2", by: "stream", state: "working", broker: "broker-2" },
      { id: "text-1", by: "stream", state: "waiting", broker: "broker-1" },
      { id: "legacy-1", by: "REST", state: "waiting", broker: "broker-1" },
    ],
    events: [
      { atMs: 1234, text: "math is read", tone: "plain" },
      { atMs: 4000, text: "broker-1 is back", tone: "good" },
    ],
    ...more,
  };
}

test("the picture shows the jobs, the brokers with their workers, and what happened", () => {
  expect(renderView(view(), 100, 40, plain).join("\n")).toBe(
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
broker-1   ◐ draining    ━━ ○ text-1  ┄┄ ○ legacy-1 (REST)
broker-2   ● serving     ━━ ● ocr-2
                         ✗ ocr-1 killed
  1.2 s  math is read
  4.0 s  broker-1 is back`.trim(),
  );
});

test.each([40, 58, 60, 66, 67, 77, 78, 80, 99, 140, 200])(
  "no line is wider than a terminal of %i columns",
  (columns) => {
    const long = {
      headline: "한글 ".repeat(60),
      events: [{ atMs: 1, text: "m".repeat(300), tone: "bad" as const }],
      workers: Array.from({ length: 20 }, (_, n) => {
        return { id: `ocr-${n}`, by: "stream", state: "waiting", broker: n < 10 ? "broker-1" : undefined } as const;
      }),
    };
    const widths = renderView(view(long), columns, 40, plain).map(widthOf);
    expect(Math.max(...widths)).toBeLessThanOrEqual(columns);
    // The table itself stays a rectangle: all but title, headline, places and the event.
    expect(new Set(widths.slice(2, -4)).size).toBe(1);
  },
);

test("a narrow terminal keeps state, worker and attempts before the time and the notes", () => {
  const [, , , titles] = renderView(view(), 60, 40, plain);
  expect(titles).toMatch(/sheet .* job .* state .* worker .* attempt/);
  expect(titles).not.toContain("time");
});

test("colours change nothing but the colours", () => {
  const painted = renderView(view(), 100, 40, painter(true)).join("\n");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character begins each code
  expect(painted.replace(/\x1b\[[\d;]*m/g, "")).toBe(renderView(view(), 100, 40, plain).join("\n"));
  expect(painted).toContain("\x1b[32m✓ DONE");
});

test("before the first job the picture counts none", () => {
  expect(renderView(view({ jobs: [] }), 80, 40, plain)[0]).not.toContain("done");
});

test("a low terminal loses the rules between the sheets first, then the oldest events, and never a job", () => {
  const lines = (rows: number) => renderView(view(), 100, rows, plain);
  const rules = (rows: number) => lines(rows).filter((line) => line.startsWith("├")).length;
  expect(lines(15)).toHaveLength(15);
  expect([rules(15), rules(14)]).toEqual([2, 1]);
  expect(lines(14).at(-2)).toContain("math is read");
  expect(lines(13)).toHaveLength(13);
  expect(lines(13).at(-1)).toContain("broker-1 is back");
  expect(lines(12).at(-1)).toContain("ocr-1 killed");
  expect(lines(5).filter((line) => line.startsWith("│"))).toHaveLength(4);
});

test("a worker on no broker says why: it starts, it is ready, it is on its way, or it was killed", () => {
  const states = ["starting", "ready", "waiting", "working", "killed"] as const;
  const workers = states.map((state) => ({ id: state[0] ?? "", by: "stream", state, broker: undefined }) as const);
  expect(renderView(view({ workers, brokers: [] }), 120, 40, plain).join("\n")).toContain(
    "… s starting  ○ r ready  ○ w between brokers  ● w between brokers  ✗ k killed",
  );
});
