/** The backlogs that a claim is measured against. */
import type { Backlog } from "./backlog.ts";

export interface Case {
  name: string;
  backlogs: Backlog[];
  /** Add to the backlog of the case before instead of starting with an empty queue. */
  keep?: boolean;
  /** What the worker takes; empty: anything. */
  types: string[];
  /** Jobs a claim. */
  limits: number[];
}

const DAY_SECONDS = 24 * 3_600;
const OTHER_TYPES = ["translate", "grade", "summarize", "tag", "embed"];

/** Smallest first: what follows is compared with it, for each number of jobs a claim. */
export function casesOf(rows: number): Case[] {
  const due = { types: ["ocr"], firstDueSeconds: -30 * DAY_SECONDS, stepSeconds: 1 };
  const later = { types: ["ocr"], firstDueSeconds: 2 * DAY_SECONDS, stepSeconds: 1 };
  const others = { types: OTHER_TYPES, firstDueSeconds: -30 * DAY_SECONDS, stepSeconds: 1 };
  const few = { types: ["ocr"], firstDueSeconds: -DAY_SECONDS, stepSeconds: 1, rows: 100 };
  const all = count(rows);
  return [
    { name: "1 pending", backlogs: [{ ...due, rows: 1 }], types: ["ocr"], limits: [1] },
    { name: "100 pending", backlogs: [{ ...due, rows: 100 }], types: ["ocr"], limits: [100] },
    { name: "1,000 pending", backlogs: [{ ...due, rows: 1_000 }], types: ["ocr"], limits: [1, 100] },
    { name: `${count(rows / 10)} pending`, backlogs: [{ ...due, rows: rows / 10 }], types: ["ocr"], limits: [1, 100] },
    { name: `${all} pending`, backlogs: [{ ...due, rows }], types: ["ocr"], limits: [1, 100] },
    { name: `${all} pending, a worker that takes any type`, backlogs: [], keep: true, types: [], limits: [1, 100] },
    {
      name: `${all} with one next_run_at`,
      backlogs: [{ ...due, rows, stepSeconds: 0 }],
      types: ["ocr"],
      limits: [1, 100],
    },
    { name: `${all} of other types, and 100`, backlogs: [{ ...others, rows }, few], types: ["ocr"], limits: [1, 100] },
    { name: `${all} of other types, nothing for us`, backlogs: [], keep: true, types: ["speech"], limits: [1, 100] },
    { name: `${all} for later, and 100 due`, backlogs: [{ ...later, rows }, few], types: ["ocr"], limits: [1, 100] },
  ];
}

function count(rows: number): string {
  return Math.floor(rows).toLocaleString("en-US");
}
