/** Keeps the picture true while the story goes on: asks the brokers, follows the workers, draws. */
import { setTimeout as sleep } from "node:timers/promises";
import { aborted } from "./aborted.ts";
import { type Board, lineOf, type Seen } from "./board.ts";
import type { Broker } from "./brokers.ts";
import { Chronicle } from "./chronicle.ts";
import type { Ledger } from "./ledger.ts";
import type { Screen } from "./screen.ts";
import type { Switchboard } from "./switchboard.ts";
import type { View } from "./view.ts";
import type { WorkerLine } from "./view-places.ts";
import type { WorkerProcess } from "./worker-process.ts";

const LOOK_EVERY_MS = 80;

/** What there is to look at, once it runs. */
export interface Sights {
  board: Board;
  brokers: Broker[];
  switchboard: Switchboard;
}

export class Show {
  readonly say: Chronicle["say"];
  readonly mention: Chronicle["mention"];
  readonly #screen: Screen;
  readonly #workers: WorkerProcess[];
  readonly #ledger: Ledger;
  readonly #chronicle: Chronicle;
  readonly #startedAtMs = performance.now();
  #waiting: { holds: () => boolean; resolve: () => void }[] = [];
  #sights: Sights | undefined;
  /** Workers that were on a broker once. */
  readonly #placed = new Set<string>();

  constructor(screen: Screen, workers: WorkerProcess[], ledger: Ledger) {
    this.#screen = screen;
    this.#workers = workers;
    this.#ledger = ledger;
    this.#chronicle = new Chronicle(
      () => this.elapsedMs(),
      (text) => this.#line(text),
    );
    this.say = (headline, tone) => this.#chronicle.say(headline, tone);
    this.mention = (text) => this.#chronicle.mention(text);
  }

  /** From now on the picture shows these. */
  follow(sights: Sights): void {
    this.#sights = sights;
  }

  /** Resolves once the condition holds; looked at after each answer of the brokers. */
  until(holds: () => boolean): Promise<void> {
    return new Promise((resolve) => this.#waiting.push({ holds, resolve }));
  }

  elapsedMs(): number {
    return performance.now() - this.#startedAtMs;
  }

  /** Draws until it rejects: with the signal's reason, or because a job has failed for good. */
  async run(signal: AbortSignal): Promise<never> {
    // A broker that does not answer must not hold up the end.
    const stopped = aborted(signal);
    for (;;) {
      await Promise.race([this.#look(), stopped]);
      this.draw();
      await Promise.race([sleep(LOOK_EVERY_MS), stopped]);
    }
  }

  draw(): void {
    this.#screen.draw(this.#view());
  }

  async #look(): Promise<void> {
    if (this.#sights !== undefined) {
      const { board, switchboard } = this.#sights;
      const [changed, moved] = await Promise.all([board.refresh(), switchboard.refresh()]);
      for (const id of moved) this.#tellPlace(id, switchboard);
      for (const seen of changed) {
        this.#line(stateLine(seen));
        if (seen.status === "FAILED" || seen.status === "CANCELLED") throw new Error(ended(seen));
      }
    }
    const due = this.#waiting.filter(({ holds }) => holds());
    this.#waiting = this.#waiting.filter((wait) => !due.includes(wait));
    for (const { resolve } of due) resolve();
  }

  #tellPlace(workerId: string, switchboard: Switchboard): void {
    const broker = switchboard.brokerOf(workerId);
    if (broker !== undefined) this.#placed.add(workerId);
    this.#line(`  ${workerId} ${broker === undefined ? "is on no broker" : `streams to ${broker.name}`}`);
  }

  #line(text: string): void {
    this.#screen.line(this.elapsedMs(), text);
  }

  #view(): View {
    return {
      elapsedMs: this.elapsedMs(),
      headline: this.#chronicle.headline,
      tone: this.#chronicle.tone,
      jobs: this.#sights?.board.jobs().map((seen) => lineOf(seen, Date.now())) ?? [],
      brokers: this.#sights?.brokers ?? [],
      workers: this.#workers.map((worker) => this.#lineOf(worker)),
      events: this.#chronicle.past(),
    };
  }

  #lineOf({ id, by, state }: WorkerProcess): WorkerLine {
    if (state === "killed") return { id, by, state, broker: undefined };
    const isAtWork = this.#ledger.underWay(id).length > 0;
    const broker = this.#sights?.switchboard.brokerOf(id)?.name;
    return { id, by, broker, state: isAtWork ? "working" : this.#placed.has(id) ? "waiting" : state };
  }
}

function stateLine(seen: Seen): string {
  const who = seen.attempts > 0 ? `${seen.worker.padEnd(8)} attempt ${seen.attempts}` : "";
  const why = seen.status === "PENDING" && seen.attempts > 0 ? `: ${seen.lastError}` : "";
  return `${seen.status.padEnd(8)} ${seen.sheet.padEnd(8)} ${seen.type.padEnd(21)} ${who}${why}`.trimEnd();
}

function ended(seen: Seen): string {
  return `${seen.type} of ${seen.sheet} (job ${seen.jobId}) is ${seen.status}: ${seen.lastError || "no reason given"}`;
}
