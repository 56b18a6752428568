/**
 * The demo's own books, kept apart from the database that they are compared with at the end: what the brokers logged
 * and what the workers did.
 */

/** A change of a job's state as one broker logged it. */
export interface Move {
  broker: string;
  jobId: string;
  move: string;
  /** The state that it led to. */
  to: string;
  /** Empty: none had to do with it. */
  worker: string;
}

/** One start of a worker's handler. */
export interface Run {
  worker: string;
  jobId: string;
  /** Times are of this machine's clock, as the worker's process read it. */
  begunAtMs: number;
  /** Absent: it has not ended, or its worker died. */
  end?: { outcome: "DONE" | "FAILED"; atMs: number };
}

/** One restart of a broker. */
export interface Restart {
  broker: string;
  /** When it got SIGTERM. */
  atMs: number;
  /** From SIGTERM until it served again. */
  tookMs: number;
}

export class Ledger {
  readonly moves: Move[] = [];
  readonly runs: Run[] = [];
  readonly restarts: Restart[] = [];
  #listeners: ((run: Run) => void)[] = [];

  /** Takes a line of a broker's log; keeps it when it tells of a move. */
  logged(broker: string, line: string): void {
    if (!line.includes('"move"')) return;
    const { move, job_id: jobId, to, worker = "" } = JSON.parse(line) as Record<string, string>;
    if (move !== undefined && jobId !== undefined && to !== undefined) {
      this.moves.push({ broker, jobId, move, to, worker });
    }
  }

  began(worker: string, jobId: string, begunAtMs: number): void {
    const run = { worker, jobId, begunAtMs };
    this.runs.push(run);
    for (const listen of [...this.#listeners]) listen(run);
  }

  ended(worker: string, jobId: string, outcome: "DONE" | "FAILED", atMs: number): void {
    const run = this.underWay(worker).find((one) => one.jobId === jobId);
    if (run !== undefined) run.end = { outcome, atMs };
  }

  underWay(worker: string): Run[] {
    return this.runs.filter((run) => run.worker === worker && run.end === undefined);
  }

  /** Resolves with the first such run that begins from now on. */
  nextRun(wanted: (run: Run) => boolean): Promise<Run> {
    return new Promise((resolve) => {
      const listen = (run: Run) => {
        if (!wanted(run)) return;
        this.#listeners = this.#listeners.filter((one) => one !== listen);
        resolve(run);
      };
      this.#listeners.push(listen);
    });
  }

  /** Whether each hand-out in the logs has its end there: the logs may lag behind the database for a moment. */
  isSettled(): boolean {
    const handOuts = this.moves.filter(isHandOut).length;
    return handOuts > 0 && handOuts === this.moves.filter(isEnd).length;
  }
}

export function isHandOut({ move, to }: Move): boolean {
  return move === "claim" && to === "RUNNING";
}

export function isEnd({ move }: Move): boolean {
  return move === "report" || move === "reclaim" || move === "release";
}
