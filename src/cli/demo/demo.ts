/** `ai-job-broker demo`: the main job end to end, in less than a minute, with nothing left behind. */
import { environment } from "../../config.ts";
import type { Seen } from "./board.ts";
import { closingText, countOf, faultsIn } from "./ending.ts";
import { openScreen, type Screen } from "./screen.ts";
import { loadSheets, type Sheet } from "./sheets.ts";
import { openShow, type Show } from "./show.ts";
import { BROKER_ENTRY, openStage, startWorkers } from "./stage.ts";
import { play } from "./story.ts";

const WATCHDOG_MS = 90_000;
/** What a shell answers after Ctrl-C. */
const INTERRUPTED = 130;

export interface DemoOptions {
  /** Ends the demo and everything that it started. */
  signal: AbortSignal;
  stdout: NodeJS.WriteStream;
  /** Plain lines also on a terminal. */
  plain?: boolean;
  /** The program whose `serve` is the broker; default: this package's. */
  brokerEntry?: string;
}

/**
 * Runs the demo: a broker on an embedded Postgres, real workers, one of them killed. Resolves with the exit code when
 * every process has ended and the temporary folder is gone: 0 when each job is DONE and each text is right, 1 with the
 * reason printed, 130 when the signal came first.
 */
export async function runDemo(options: DemoOptions): Promise<number> {
  const { stdout, signal } = options;
  const plain = options.plain === true || !stdout.isTTY || environment().TERM === "dumb";
  const screen = openScreen(stdout, plain);
  const finished = new AbortController();
  const watchdog = AbortSignal.timeout(WATCHDOG_MS);
  const stop = AbortSignal.any([signal, watchdog, finished.signal]);
  try {
    const ending = await perform(options, screen, stop);
    screen.write(ending.text);
    return ending.code;
  } catch (error) {
    screen.close();
    if (signal.aborted) {
      screen.write("The demo was stopped; its processes have ended and its folder is gone.\n");
      return INTERRUPTED;
    }
    const late = `it was not over after ${WATCHDOG_MS / 1000} s`;
    const reason = watchdog.aborted ? late : error instanceof Error ? error.message : String(error);
    screen.write(`\n${screen.paint("The demo failed:", "bold", "red")} ${reason}\n`);
    return 1;
  } finally {
    finished.abort();
  }
}

async function perform(
  options: DemoOptions,
  screen: Screen,
  stop: AbortSignal,
): Promise<{ text: string; code: number }> {
  await using stack = new AsyncDisposableStack();
  const sheets = await loadSheets();
  const workers = startWorkers(stack);
  const show = openShow(screen, Object.values(workers));
  const over = new AbortController();
  const signal = AbortSignal.any([stop, over.signal]);
  const running = show.run(signal);
  show.say("starting a broker on an empty Postgres, and three workers as processes of their own");
  const names = sheets.map((sheet) => sheet.name);
  const opening = openStage(options.brokerEntry ?? BROKER_ENTRY, workers, names, stack, signal);
  const faults = [running, ...Object.values(workers).map((worker) => worker.ended)];
  try {
    const stage = await Promise.race([opening, ...faults]);
    show.mention(`the broker is up on ${stage.url} with PostgreSQL ${stage.postgresVersion}`);
    show.follow(stage.board);
    await Promise.race([play(stage, workers, sheets, show), stage.brokerEnded, ...faults]);
    return conclude(stage.board.jobs(), sheets, show, screen);
  } finally {
    over.abort();
    // What is being started must be on the stack before the stack ends it.
    await Promise.allSettled([running, opening]);
  }
}

function conclude(jobs: Seen[], sheets: Sheet[], show: Show, screen: Screen): { text: string; code: number } {
  screen.draw(show.view());
  screen.close();
  const count = countOf(jobs, show.failures());
  const faults = faultsIn(jobs, sheets, count);
  const closing = closingText(jobs, sheets, count, show.elapsedMs(), screen.paint);
  if (faults.length === 0) return { text: closing, code: 0 };
  return { text: `\n${screen.paint("The demo failed:", "bold", "red")}\n${faults.join("\n")}\n`, code: 1 };
}
