/** What the demo and its worker processes tell each other over Node's IPC channel. */

/** Who a worker is and where its broker, its images and its language data are. The first message to it. */
export interface Cast {
  kind: "cast";
  workerId: string;
  url: string;
  token: string;
  brokerPid: number;
  imageDir: string;
  languageDir: string;
}

/** From the demo to a worker. */
export type Order =
  | Cast
  /** Start to take jobs. `hold`: keep the first job and its lease, never report it, and wait to be killed. */
  | { kind: "go"; hold: boolean };

/** From a worker to the demo. */
export type News =
  /** The engine is loaded; the worker waits for `go`. */
  | { kind: "ready" }
  | { kind: "began"; jobId: string }
  /** A heartbeat was answered. */
  | { kind: "beat"; jobId: string }
  /** A report was answered. */
  | { kind: "reported"; jobId: string; outcome: "DONE" | "FAILED"; answer: string }
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

/**
 * Runs a worker process: its errors become news, and it ends with the demo, however that ends. A demo that was killed
 * cannot stop its broker, so a worker that is left alone does.
 */
export async function runWorker(work: (cast: Cast) => Promise<never>): Promise<void> {
  let brokerPid: number | undefined;
  process.on("disconnect", () => {
    if (brokerPid !== undefined) stopQuietly(brokerPid);
    process.exit(0);
  });
  try {
    const cast = await order("cast");
    brokerPid = cast.brokerPid;
    await work(cast);
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
