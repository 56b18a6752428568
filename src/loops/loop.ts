/** A job that a broker repeats at its own pace: runs never overlap, and a failed run is logged and tried again. */
import type { Logger } from "pino";

export interface Loop {
  name: string;
  everyMs: number;
  /** One run; answering true asks for the next one at once, since there is more to do. */
  once: () => Promise<boolean | undefined>;
}

/** Starts the loop; the answer stops it and resolves when a run under way has ended. */
export function startLoop(loop: Loop, log: Logger): () => Promise<void> {
  const stop = new AbortController();
  const ended = (async () => {
    while (!stop.signal.aborted) {
      let more: boolean | undefined;
      try {
        more = await loop.once();
      } catch (err) {
        log.warn({ loop: loop.name, err }, `loop ${loop.name} failed; it will run again`);
      }
      // Jitter, so that brokers which started together do not stay in step.
      if (more !== true) await pause(loop.everyMs * (0.9 + 0.2 * Math.random()), stop.signal);
    }
  })();
  return () => {
    stop.abort();
    return ended;
  };
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}
