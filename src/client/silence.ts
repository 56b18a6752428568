/** Streams of the broker's that must not fall silent: a connection may be gone without a word. */
import { BrokerError } from "./broker-error.ts";
import { Listener } from "./listening.ts";

export interface Silence {
  /** Nothing came for so long: the stream is given up. */
  silenceMs: number;
  /** Aborted: the stream ends with CANCELLED, at once. */
  signal: AbortSignal;
}

/** Three heartbeats of a broker whose WATCH_HEARTBEAT_MS was not set. */
export const SILENCE_MS = 45_000;

/** Looks on the way there, so that an event loop that was held up does not count as the broker's silence. */
const LOOKS = 3;
/** A connection and a first message take no longer. */
const BEGUN_WITHIN_MS = 20_000;

/**
 * The messages of a stream. Only while one is asked for does the time run, so a slow reader is no silence. However it
 * ends, the signal that `open` was given is aborted. Throws UNAVAILABLE for a silence.
 */
export async function* unlessSilent<T>(
  open: (signal: AbortSignal) => AsyncIterable<T>,
  { silenceMs, signal }: Silence,
): AsyncGenerator<T> {
  const cut = new AbortController();
  const stop = () => cut.abort();
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop, { once: true });
  const messages = open(cut.signal)[Symbol.asyncIterator]();
  try {
    for (let limitMs = Math.min(silenceMs, BEGUN_WITHIN_MS); ; limitMs = silenceMs) {
      const { done, value } = await soon(messages.next(), limitMs, signal);
      if (done) return;
      yield value;
    }
  } finally {
    signal.removeEventListener("abort", stop);
    cut.abort();
    // It may hang on what never comes.
    messages.return?.().catch(() => undefined);
  }
}

function soon<T>(work: Promise<T>, limitMs: number, signal: AbortSignal): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const leave = () => reject(new BrokerError("CANCELLED", "the stream was left"));
  const listener = new Listener({
    pingMs: limitMs / LOOKS,
    silenceMs: limitMs,
    ping: () => undefined,
    silent: () => reject(new BrokerError("UNAVAILABLE", `nothing came from the broker for ${limitMs} ms`)),
  });
  signal.addEventListener("abort", leave, { once: true });
  work.then(resolve, reject);
  if (signal.aborted) leave();
  return promise.finally(() => {
    listener.stop();
    signal.removeEventListener("abort", leave);
  });
}
