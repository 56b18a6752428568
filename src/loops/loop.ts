/** A job that a broker repeats at its own pace: runs never overlap, and a failed run is logged and tried again. */
import type { Logger } from "pino";

export interface Loop {
  name: string;
  everyMs: number;
  /** One run; answering true asks for the next one at once, since there is more to do. */
  once: () => Promise<boolean | undefined>;
  /** Called once at the start with the loop's nudge: something has happened, so the next run is to come soon. */
  onStart?: (nudge: () => void) => void;
}

/** After a nudge; each further pause is twice as long, until it is the usual one: what happened may be readable late. */
const NUDGED_MS = 20;

/** Starts the loop; the answer stops it and resolves when a run under way has ended. */
export function startLoop(loop: Loop, log: Logger): () => Promise<void> {
  let isStopped = false;
  let hasFailed = false;
  let nextMs = loop.everyMs;
  let pause: { timer: NodeJS.Timeout; end: () => void; ms: number } | undefined;

  function wait(ms: number): Promise<void> {
    nextMs = Math.min(loop.everyMs, ms * 2);
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(pause?.timer);
        pause = undefined;
        resolve();
      };
      // Jitter, so that brokers which started together do not stay in step.
      pause = { end, ms, timer: setTimeout(end, ms * (0.9 + 0.2 * Math.random())) };
    });
  }

  loop.onStart?.(() => {
    // With the database away everything fails, and everybody nudges.
    if (hasFailed) return;
    nextMs = Math.min(loop.everyMs, NUDGED_MS);
    if (pause === undefined || pause.ms <= nextMs) return;
    clearTimeout(pause.timer);
    pause.ms = nextMs;
    pause.timer = setTimeout(pause.end, nextMs);
  });
  const ended = (async () => {
    while (!isStopped) {
      let more: boolean | undefined;
      try {
        more = await loop.once();
        hasFailed = false;
      } catch (err) {
        hasFailed = true;
        nextMs = loop.everyMs;
        log.warn({ loop: loop.name, err }, `loop ${loop.name} failed; it will run again`);
      }
      if (more !== true && !isStopped) await wait(nextMs);
    }
  })();
  return () => {
    isStopped = true;
    pause?.end();
    return ended;
  };
}
