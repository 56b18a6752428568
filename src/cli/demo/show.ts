/** Keeps the picture true while the story goes on: asks the broker, follows the workers, draws. */
import { setTimeout as sleep } from "node:timers/promises";
import { aborted } from "./aborted.ts";
import { type Board, lineOf, type Seen } from "./board.ts";
import type { Screen } from "./screen.ts";
import type { Tone, View, WorkerLine } from "./view.ts";
import type { WorkerProcess } from "./worker-process.ts";

const LOOK_EVERY_MS = 80;

export interface Show {
  /** What happens now; a function is asked again for each picture. */
  say(headline: string | (() => string), tone?: Tone): void;
  /** What happens beside. */
  mention(text: string): void;
  /** From now on the picture shows these jobs. */
  follow(board: Board): void;
  /** Resolves once the condition holds; looked at after each answer of the broker. */
  until(holds: () => boolean): Promise<void>;
  /** A worker was killed on purpose. */
  markKilled(worker: WorkerProcess): void;
  /** Attempts that workers reported as failed. */
  failures(): number;
  elapsedMs(): number;
  /** Draws until it rejects: with the signal's reason, or because a job has failed for good. */
  run(signal: AbortSignal): Promise<never>;
  view(): View;
}

export function openShow(screen: Screen, workers: WorkerProcess[]): Show {
  const startedAtMs = performance.now();
  const elapsedMs = () => performance.now() - startedAtMs;
  const lines = new Map(workers.map((worker) => [worker.id, workerLine(worker)]));
  const waiting: { holds: () => boolean; resolve: () => void }[] = [];
  const mentions: string[] = [];
  let headline: () => string = () => "";
  let tone: Tone = "plain";
  let board: Board | undefined;
  let failures = 0;
  for (const worker of workers) {
    worker.onNews((news) => {
      if (news.kind === "reported" && news.outcome === "FAILED") failures++;
      follow(lines.get(worker.id), news.kind);
    });
  }
  const view = (): View => ({
    elapsedMs: elapsedMs(),
    headline: headline(),
    tone,
    jobs: board?.jobs().map((seen) => lineOf(seen, Date.now())) ?? [],
    workers: [...lines.values()],
    mentions: mentions.slice(-2),
  });
  const look = async () => {
    for (const seen of (await board?.refresh()) ?? []) {
      screen.line(elapsedMs(), stateLine(seen));
      if (seen.status === "FAILED" || seen.status === "CANCELLED") throw new Error(ended(seen));
    }
    for (const wait of waiting.filter(({ holds }) => holds())) {
      waiting.splice(waiting.indexOf(wait), 1);
      wait.resolve();
    }
  };
  return {
    say: (text, newTone = "plain") => {
      tone = newTone;
      headline = typeof text === "string" ? () => text : text;
      screen.line(elapsedMs(), `▸ ${headline()}`);
    },
    mention: (text) => {
      mentions.push(text);
      screen.line(elapsedMs(), `  ${text}`);
    },
    follow: (newBoard) => {
      board = newBoard;
    },
    until: (holds) => new Promise((resolve) => waiting.push({ holds, resolve })),
    markKilled: (worker) => {
      const line = lines.get(worker.id);
      if (line) line.state = "killed";
    },
    failures: () => failures,
    elapsedMs,
    run: async (signal) => {
      // A broker that does not answer must not hold up the end.
      const stopped = aborted(signal);
      for (;;) {
        await Promise.race([look(), stopped]);
        screen.draw(view());
        await Promise.race([sleep(LOOK_EVERY_MS), stopped]);
      }
    },
    view,
  };
}

function workerLine(worker: WorkerProcess): WorkerLine {
  return { id: worker.id, speaks: worker.speaks, state: "starting" };
}

function follow(line: WorkerLine | undefined, kind: string): void {
  if (line === undefined) return;
  if (kind === "began") line.state = "working";
  if (kind === "ready" || kind === "reported") line.state = "waiting";
}

function stateLine(seen: Seen): string {
  const who = seen.attempts > 0 ? `${seen.worker.padEnd(8)} attempt ${seen.attempts}` : "";
  const why = seen.status === "PENDING" && seen.attempts > 0 ? `: ${seen.lastError}` : "";
  return `${seen.status.padEnd(8)} ${seen.sheet.padEnd(8)} ${seen.type.padEnd(21)} ${who}${why}`.trimEnd();
}

function ended(seen: Seen): string {
  return `${seen.type} of ${seen.sheet} (job ${seen.jobId}) is ${seen.status}: ${seen.lastError || "no reason given"}`;
}
