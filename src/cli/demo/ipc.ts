/** What the demo and its worker processes tell each other over Node's IPC channel. */

/** Who a worker is and where its images and its language data are. The first message to it. */
export interface Cast {
  kind: "cast";
  workerId: string;
  token: string;
  /** What it takes; a legacy worker takes what comes. */
  types: string[];
  imageDir: string;
  languageDir: string;
}

/** From the demo to a worker. */
export type Order =
  | Cast
  /** Start to take jobs. `hold`: keep the first job and its lease, never report it, and wait to be killed. */
  | { kind: "go"; urls: string[]; hold: boolean }
  /** The brokers' processes as they are now: if the demo is killed, its workers end them. */
  | { kind: "brokers"; pids: number[] };

/** From a worker to the demo. Times are of Date.now(). */
export type News =
  /** The engine is loaded; the worker waits for `go`. */
  | { kind: "ready" }
  /** The handler of a job was started. */
  | { kind: "began"; jobId: string; atMs: number }
  /** It has come to an end; its report is on its way. */
  | { kind: "ended"; jobId: string; outcome: "DONE" | "FAILED"; atMs: number }
  /** The worker cannot go on; it exits after this. */
  | { kind: "trouble"; message: string };

/** Sends news to the demo. */
export function tell(news: News): void {
  process.send?.(news);
}

/** The next order of a kind. */
export function order<K extends Order["kind"]>(kind: K): Promise<Extract<Order, { kind: K }>> {
  return new Promise((resolve) => {
    const listen = (message: Order) => {
      if (message.kind !== kind) return;
      process.off("message", listen);
      resolve(message as Extract<Order, { kind: K }>);
    };
    process.on("message", listen);
  });
}

/** Does a piece of work; the demo hears of its beginning and its end. `held` is waited for before the end is told. */
export async function attempt<T>(jobId: string, work: () => Promise<T>, held?: Promise<unknown>): Promise<T> {
  tell({ kind: "began", jobId, atMs: Date.now() });
  let outcome: "DONE" | "FAILED" = "FAILED";
  try {
    const result = await work();
    await held;
    outcome = "DONE";
    return result;
  } finally {
    tell({ kind: "ended", jobId, outcome, atMs: Date.now() });
  }
}

/**
 * Runs a worker process: its errors become news, and it ends with the demo, however that ends. A demo that was killed
 * cannot stop its brokers, so a worker that is left alone does.
 */
export async function runWorker(work: (cast: Cast) => Promise<never>): Promise<void> {
  let brokers: number[] = [];
  process.on("message", (message: Order) => {
    if (message.kind === "brokers") brokers = message.pids;
  });
  process.on("disconnect", () => {
    for (const pid of brokers) stopQuietly(pid);
    process.exit(0);
  });
  try {
    await work(await order("cast"));
  } catch (error) {
    const trouble: News = { kind: "trouble", message: error instanceof Error ? error.message : String(error) };
    process.send?.(trouble, undefined, undefined, () => process.exit(1));
  }
}

function stopQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGTERM");
  } catch {
    // It has ended already.
  }
}
