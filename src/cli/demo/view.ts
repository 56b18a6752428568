/** What the live picture shows, and how: a pure function from what is known to lines of text. */
import type { Status } from "../../job/status.ts";
import { type Paint, pad, type Style, seconds, shorten, widthOf } from "./text.ts";
import { type BrokerLine, placeLines, type WorkerLine } from "./view-places.ts";

export interface JobLine {
  sheet: string;
  type: string;
  status: Status;
  /** Who holds it, or held it last; empty: nobody yet. */
  worker: string;
  attempts: number;
  maxAttempts: number;
  /** From the dispatch to the end or until now. */
  timeMs: number;
  /** What stands out about the job right now. */
  note: string;
}

/** Whether something is good news, bad news or neither. */
export type Tone = "plain" | "good" | "bad";

/** Something that happened. */
export interface Event {
  atMs: number;
  text: string;
  tone: Tone;
}

export interface View {
  elapsedMs: number;
  /** What happens now. */
  headline: string;
  tone: Tone;
  jobs: JobLine[];
  brokers: BrokerLine[];
  workers: WorkerLine[];
  /** What happened so far, the newest last. */
  events: Event[];
}

interface Column {
  title: string;
  width: number;
  align?: "left" | "right";
  text: (job: JobLine) => string;
  styles: (job: JobLine) => Style[];
}

const STATUS: Record<Status, { text: string; style: Style }> = {
  PENDING: { text: "○ PENDING", style: "blue" },
  RUNNING: { text: "● RUNNING", style: "yellow" },
  DONE: { text: "✓ DONE", style: "green" },
  FAILED: { text: "✗ FAILED", style: "red" },
  CANCELLED: { text: "– CANCELLED", style: "dim" },
};

const TONE: Record<Tone, Style> = { plain: "cyan", good: "green", bad: "red" };

const COLUMNS: Column[] = [
  { title: "sheet", width: 8, text: (job) => job.sheet, styles: () => ["bold"] },
  { title: "job", width: 21, text: (job) => job.type, styles: () => [] },
  {
    title: "state",
    width: 9,
    text: (job) => STATUS[job.status].text,
    styles: (job) => [STATUS[job.status].style],
  },
  { title: "worker", width: 8, text: (job) => job.worker, styles: () => [] },
  {
    title: "attempt",
    width: 7,
    align: "right",
    text: (job) => (job.attempts === 0 ? "" : `${job.attempts} of ${job.maxAttempts}`),
    styles: (job) => (job.attempts > 1 ? ["bold", "magenta"] : []),
  },
  { title: "time", width: 6, align: "right", text: (job) => seconds(job.timeMs), styles: () => ["dim"] },
];

const NOTE: Column = {
  title: "",
  width: 16,
  text: (job) => job.note,
  styles: (job) => (job.status === "RUNNING" ? ["yellow"] : job.status === "PENDING" ? ["magenta"] : ["dim"]),
};
const NOTE_MAX = 46;
const JOB_MIN = 10;
const EVENTS_MIN = 2;
const EVENTS_MAX = 6;

/** The whole picture as lines of at most `columns` columns; more lines than `rows` only where the jobs alone are more. */
export function renderView(view: View, columns: number, rows: number, paint: Paint): string[] {
  const shown = columnsFor(columns);
  const inner = shown.reduce((sum, column) => sum + column.width + 3, -1);
  const places = placeLines(view.brokers, view.workers, columns, paint);
  const around = 6 + places.length;
  const sheets = view.jobs.filter((job, index) => job.sheet !== view.jobs[index - 1]?.sheet).length;
  // The rules between the sheets are the first to go where the terminal is low.
  const ruled = around + view.jobs.length + Math.max(0, sheets - 1) + EVENTS_MIN <= rows;
  const table = jobsTable(view.jobs, shown, columns, ruled, paint);
  const left = Math.max(0, rows - 2 - table.length - places.length);
  return [
    titleLine(view, Math.min(columns, inner + 2), paint),
    paint(shorten(`▸ ${view.headline}`, columns), "bold", TONE[view.tone]),
    ...table,
    ...places,
    ...eventLines(view.events, Math.min(left, EVENTS_MAX), columns, paint),
  ];
}

function jobsTable(jobs: JobLine[], shown: Column[], columns: number, ruled: boolean, paint: Paint): string[] {
  const rule = (left: string, middle: string, right: string) =>
    paint(shorten(left + shown.map((column) => "─".repeat(column.width + 2)).join(middle) + right, columns), "dim");
  const bar = paint("│", "dim");
  const row = (cell: (column: Column) => string) => bar + shown.map((column) => ` ${cell(column)} `).join(bar) + bar;
  return [
    rule("┌", "┬", "┐"),
    row((column) => paint(pad(column.title, column.width, column.align), "dim")),
    ...jobs.flatMap((job, index) => {
      const above = jobs[index - 1];
      const line = row((column) =>
        paint(pad(cellText(column, job, above), column.width, column.align), ...column.styles(job)),
      );
      const isFirst = job.sheet !== above?.sheet;
      return isFirst && (ruled || index === 0) ? [rule("├", "┼", "┤"), line] : [line];
    }),
    rule("└", "┴", "┘"),
  ];
}

/** A sheet's name stands once, at its first job. */
function cellText(column: Column, job: JobLine, above: JobLine | undefined): string {
  return column.title === "sheet" && above?.sheet === job.sheet ? "" : column.text(job);
}

/** Narrower terminals lose the notes, then the ends of long job types, then whole columns; wider ones give to the notes. */
function columnsFor(columns: number): Column[] {
  const shown = [...COLUMNS, NOTE].map((column) => ({ ...column }));
  const spare = () => columns - shown.reduce((sum, column) => sum + column.width + 3, 1);
  const drop = (title: string) =>
    shown.splice(
      shown.findIndex((column) => column.title === title),
      1,
    );
  if (spare() < 0) drop(NOTE.title);
  const job = shown.find((column) => column.title === "job");
  if (job && spare() < 0) job.width = Math.max(JOB_MIN, job.width + spare());
  for (const title of ["time", "attempt", "worker"]) if (spare() < 0) drop(title);
  const note = shown.find((column) => column.title === NOTE.title);
  if (note) note.width = Math.min(NOTE_MAX, note.width + spare());
  return shown;
}

function titleLine(view: View, width: number, paint: Paint): string {
  const done = view.jobs.filter((job) => job.status === "DONE").length;
  const share = view.jobs.length === 0 ? "" : `${done}/${view.jobs.length} done  `;
  const right = share + seconds(view.elapsedMs);
  const left = shorten("ai-job-broker demo", width - widthOf(right) - 1);
  return paint(left, "bold") + " ".repeat(Math.max(1, width - widthOf(left) - widthOf(right))) + paint(right, "dim");
}

function eventLines(events: Event[], count: number, columns: number, paint: Paint): string[] {
  return events.slice(events.length - Math.min(count, events.length)).map(({ atMs, text, tone }) => {
    const line = shorten(`${seconds(atMs).padStart(7)}  ${text}`, columns);
    return paint(line, ...(tone === "plain" ? (["dim"] as const) : ([TONE[tone]] as const)));
  });
}
