/** `ai-job-broker demo`: the main job end to end, in less than a minute, with nothing left behind. */
import { setTimeout as sleep } from "node:timers/promises";
import { environment } from "../../config.ts";
import { type Account, type Mischief, settleAccount } from "./account.ts";
import type { Seen } from "./board.ts";
import { closingText, resultFaults } from "./ending.ts";
import { Ledger } from "./ledger.ts";
import { openScreen, type Screen } from "./screen.ts";
import { loadSheets, type Sheet } from "./sheets.ts";
import { Show } from "./show.ts";
import { BROKER_ENTRY, openStage, type Stage, startWorkers, type Workers } from "./stage.ts";
import { play } from "./story.ts";

const WATCHDOG_MS = 120_000;
/** What a shell answers after Ctrl-C. */
const INTERRUPTED = 130;
/** How long the brokers' last log lines may be on their way. */
const BOOKS_WITHIN_MS = 5_000;

export interface DemoOptions {
  /** Ends the demo and everything that it started. */
  signal: AbortSignal;
  stdout: NodeJS.WriteStream;
  /** Plain lines also on a terminal. */
  plain?: boolean;
  /** The program whose `serve` is a broker; default: this package's. */
  brokerEntry?: string;
}

/**
 * Runs the demo: two brokers on an embedded Postgres and real workers; one of them is killed, both brokers are
 * restarted. Resolves with the exit code when every process has ended and the temporary folder is gone: 0 when each job
 * is DONE, each text is right and the account is clean, 1 with the reason printed, 130 when the signal came first.
 */
export async function runDemo(options: DemoOptions): Promise<number> {
  const { stdout, signal } = options;
  const plain = options.plain === true || !stdout.isTTY || environment()["TERM"] === "dumb";
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
    screen.write(failureText([reason], screen));
    return 1;
  } finally {
    finished.abort();
  }
}

interface Ending {
  text: string;
  code: number;
}

async function perform(options: DemoOptions, screen: Screen, stop: AbortSignal): Promise<Ending> {
  await using stack = new AsyncDisposableStack();
  const sheets = await loadSheets();
  const ledger = new Ledger();
  // The workers are started first, since they take the longest, and end first: a broker waits for its workers.
  const machinery = stack.use(new AsyncDisposableStack());
  const workers = startWorkers(ledger, stack);
  const show = new Show(screen, Object.values(workers), ledger);
  const over = new AbortController();
  const signal = AbortSignal.any([stop, over.signal]);
  const running = show.run(signal);
  show.say("starting Postgres, two brokers and four workers, each a process of its own");
  const names = sheets.map((sheet) => sheet.name);
  const brokerEntry = options.brokerEntry ?? BROKER_ENTRY;
  const opening = openStage({ brokerEntry, workers, ledger, sheets: names, signal }, machinery);
  const faults = [running, ...Object.values(workers).map((worker) => worker.ended)];
  try {
    const stage: Stage = await Promise.race([opening, ...faults]);
    const ports = stage.brokers.map(({ name, url }) => `${name} on port ${new URL(url).port}`).join(", ");
    show.mention(`${ports}: both serve one PostgreSQL ${stage.postgresVersion}`);
    show.follow(stage);
    const brokerFaults = stage.brokers.map((broker) => broker.failed);
    await Promise.race([play({ stage, workers, ledger, show }, sheets), ...brokerFaults, ...faults]);
    await Promise.race([
      show.until(() => ledger.isSettled()),
      sleep(BOOKS_WITHIN_MS, undefined, { ref: false }),
      ...faults,
    ]);
    return conclude(stage, workers, sheets, ledger, show, screen);
  } finally {
    over.abort();
    // What is being started must be on the stack before the stack ends it.
    await Promise.allSettled([running, opening]);
  }
}

function conclude(
  { board, brokers }: Stage,
  { ocr1 }: Workers,
  sheets: Sheet[],
  ledger: Ledger,
  show: Show,
  screen: Screen,
): Ending {
  show.draw();
  screen.close();
  const jobs = board.jobs();
  const account = accountOf(jobs, ledger, { killed: [ocr1.id], restarted: brokers.map(({ name }) => name) });
  const faults = [...resultFaults(jobs, sheets), ...account.faults];
  if (faults.length > 0) return { text: failureText(faults, screen), code: 1 };
  return { text: closingText(jobs, sheets, account, show.elapsedMs(), screen.paint), code: 0 };
}

function accountOf(jobs: Seen[], ledger: Ledger, mischief: Mischief): Account {
  const stored = jobs.map(({ jobId, sheet, type, status, attempts, job }) => {
    return { jobId, name: `${type} of ${sheet}`, status, attempts, deliveries: job.deliveries };
  });
  return settleAccount(stored, ledger, mischief);
}

function failureText(reasons: string[], { paint }: Screen): string {
  return `\n${paint("The demo failed:", "bold", "red")} ${reasons.join("\n")}\n`;
}
