/** A worker under test: its handlers' jobs come by mailbox, and end when the test says so. */
import { createWorker, type JobContext, type Logger, type WorkerSettings } from "../../src/client/index.ts";
import { Mailbox } from "./mailbox.ts";

/** One handler at work. */
export interface AtWork {
  id: string;
  ctx: JobContext;
  finish(result?: object): void;
  fail(error: unknown): void;
}

export interface GivenWorker extends AsyncDisposable {
  instanceId: string;
  started: Mailbox<AtWork>;
  /** Resolves when run() has. */
  running: Promise<void>;
  /** As a SIGTERM would. */
  stop(): void;
  /** Everything that was logged: level, words, facts. */
  lines: { level: string; words: string; facts: Record<string, unknown> }[];
}

export interface Given extends Partial<WorkerSettings> {
  /** Seats by type; default one for ocr. */
  seats?: Record<string, number>;
}

/** Starts it at once. When the test ends it is stopped, and what its handlers still do is of no interest. */
export function startWorker(url: string | string[], given: Given = {}): GivenWorker {
  const { seats = { ocr: 1 }, ...settings } = given;
  const started = new Mailbox<AtWork>();
  const handler = (job: { id: string }, ctx: JobContext) =>
    new Promise<object | undefined>((resolve, reject) => {
      started.put({ id: job.id, ctx, finish: resolve, fail: reject });
      finish.push(() => resolve(undefined));
    });
  const finish: (() => void)[] = [];
  const lines: GivenWorker["lines"] = [];
  const write =
    (level: string) =>
    (facts: object, words = "") => {
      lines.push({ level, words, facts: facts as Record<string, unknown> });
    };
  const logger: Logger = { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
  const types = Object.fromEntries(
    Object.entries(seats).map(([type, concurrency]) => [type, { concurrency, handler }]),
  );
  const worker = createWorker({ url, token: "t", signals: false, logger, graceMs: 0, ...settings, types });
  const stop = new AbortController();
  const running = worker.run({ signal: stop.signal });
  running.catch(() => undefined);
  return {
    instanceId: worker.instanceId,
    started,
    running,
    lines,
    stop: () => stop.abort(),
    async [Symbol.asyncDispose]() {
      stop.abort();
      for (const end of finish) end();
      await running.catch(() => undefined);
    },
  };
}
