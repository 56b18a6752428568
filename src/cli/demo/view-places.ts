/** The part of the live picture that shows the brokers, and which worker is on which of them. */
import type { BrokerState } from "./brokers.ts";
import { type Paint, pad, type Style, widthOf } from "./text.ts";

export interface BrokerLine {
  name: string;
  state: BrokerState;
}

export interface WorkerLine {
  id: string;
  /** How it gets its jobs: pushed over a Work stream, or by polling the REST endpoints. */
  by: "stream" | "REST";
  state: "starting" | "ready" | "waiting" | "working" | "killed";
  /** The broker that it is on; undefined: none at the moment. */
  broker: string | undefined;
}

const BROKER: Record<BrokerState, { mark: string; style: Style }> = {
  starting: { mark: "…", style: "dim" },
  serving: { mark: "●", style: "green" },
  draining: { mark: "◐", style: "magenta" },
  restarting: { mark: "↻", style: "red" },
};

const WORKER: Record<WorkerLine["state"], { mark: string; style: Style }> = {
  starting: { mark: "…", style: "dim" },
  ready: { mark: "○", style: "dim" },
  waiting: { mark: "○", style: "blue" },
  working: { mark: "●", style: "yellow" },
  killed: { mark: "✗", style: "red" },
};

/** The line from the broker to the worker: a stream stays open, a poll comes again and again. */
const WIRE: Record<WorkerLine["by"], string> = { stream: "━━", REST: "┄┄" };

const NAME_WIDTH = 9;
const STATE_WIDTH = 12;
const GAP = "  ";

/** A line for each broker with its workers, one for those that are on none, always as many; empty without brokers. */
export function placeLines(brokers: BrokerLine[], workers: WorkerLine[], columns: number, paint: Paint): string[] {
  if (brokers.length === 0 && workers.length === 0) return [];
  const lines = brokers.map(({ name, state }) => {
    const { mark, style } = BROKER[state];
    const here = workers.filter(({ broker }) => broker === name);
    const pieces = here.map((worker) => [`${WIRE[worker.by]} `, WORKER[worker.state].style, nameOf(worker)] as const);
    return joinPieces(
      [[pad(name, NAME_WIDTH), "bold", ""], ["", style, pad(`${mark} ${state}`, STATE_WIDTH)], ...pieces],
      columns,
      paint,
    );
  });
  const nowhere = workers.filter(({ broker }) => broker === undefined);
  const pieces = nowhere.map(
    (worker) => ["", WORKER[worker.state].style, `${nameOf(worker)} ${stateOf(worker)}`] as const,
  );
  return [
    ...lines,
    joinPieces([[" ".repeat(NAME_WIDTH + GAP.length + STATE_WIDTH), "dim", ""], ...pieces], columns, paint),
  ];
}

function nameOf({ id, by, state }: WorkerLine): string {
  return `${WORKER[state].mark} ${id}${by === "REST" ? " (REST)" : ""}`;
}

/** What a worker is that is on no broker. */
function stateOf({ state }: WorkerLine): string {
  return state === "waiting" || state === "working" ? "between brokers" : state;
}

type Piece = readonly [before: string, style: Style, text: string];

/** As many whole pieces as there is room for, so that a narrow terminal cuts text and not codes. */
function joinPieces(pieces: Piece[], columns: number, paint: Paint): string {
  let line = "";
  let taken = 0;
  for (const [index, [before, style, text]] of pieces.entries()) {
    const gap = index === 0 ? "" : GAP;
    taken += widthOf(gap + before + text);
    if (taken > columns) break;
    line += gap + paint(before, style) + paint(text, style);
  }
  return line.trimEnd();
}
