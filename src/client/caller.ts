/** Calls to whichever broker answers. */
import type {
  DescMessage,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { createAddresses } from "./addresses.ts";
import { backoffMs } from "./backoff.ts";
import { asBrokerError, BrokerError, isTransient } from "./broker-error.ts";
import type { Link, LinkCall, LinkOptions } from "./link.ts";
import { openLink } from "./open-link.ts";
import { pause } from "./pause.ts";
import { type Silence, unlessSilent } from "./silence.ts";

/** Where the brokers are, and how to be let in. */
export interface CallerOptions extends Omit<LinkOptions, "url"> {
  url: string | readonly string[];
}

/** One try takes no longer than half of the time, so that a broker that hangs leaves some for another. */
const TRY_SHARE = 0.5;

/** One connection at a time, made with the first call; to the next address after a call that did not get through. */
export class Caller {
  readonly #options: CallerOptions;
  readonly #addresses;
  #line: Line | undefined;
  readonly #lines = new Set<Line>();
  readonly #onClose = new Set<() => void>();
  #closed = false;

  constructor(options: CallerOptions) {
    this.#options = options;
    this.#addresses = createAddresses(options.url);
  }

  /** Loads what the first call needs; connects to nobody. Never rejects: the first call tells. */
  async prepare(): Promise<void> {
    this.#line ??= this.#connect();
    await this.#line.link.catch(() => undefined);
  }

  /** One try. Rejects with a BrokerError; after a transient one the next call goes to the next address. */
  async once<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    call: LinkCall,
  ): Promise<MessageShape<O>> {
    const line = this.#use();
    try {
      const link = await line.link;
      return await link.call(method, request, call);
    } catch (thrown) {
      throw this.#failed(line, thrown, call.signal);
    } finally {
      this.#done(line);
    }
  }

  /**
   * One try at a stream of the broker's, which must not fall silent; its messages are read as they are asked for. Errors
   * are as those of `once`.
   */
  async *stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    silence: Silence,
  ): AsyncGenerator<MessageShape<O>> {
    const line = this.#use();
    try {
      const link = await line.link;
      yield* unlessSilent((signal) => link.stream(method, request, signal), silence);
    } catch (thrown) {
      throw this.#failed(line, thrown, silence.signal);
    } finally {
      this.#done(line);
    }
  }

  /**
   * Tries again while the fault may pass and `timeoutMs` is not over, so the call must be safe to repeat. Rejects with
   * the last BrokerError.
   */
  async call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    { timeoutMs, signal }: LinkCall,
  ): Promise<MessageShape<O>> {
    const endsAt = performance.now() + timeoutMs;
    const tryMs = timeoutMs * TRY_SHARE;
    for (let failures = 1; ; failures++) {
      const leftMs = endsAt - performance.now();
      try {
        return await this.once(method, request, { timeoutMs: Math.max(1, Math.min(tryMs, leftMs)), signal });
      } catch (thrown) {
        const error = asBrokerError(thrown);
        const waitMs = backoffMs(failures, Math.random(), error.retryAfterMs);
        const hopeless = !isTransient(error) || this.#closed || signal?.aborted;
        if (hopeless || performance.now() + waitMs >= endsAt) throw error;
        await pause(waitMs, signal);
      }
    }
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** Calls back when it is closed, unless the function that is answered was called before. */
  onClose(told: () => void): () => void {
    this.#onClose.add(told);
    return () => this.#onClose.delete(told);
  }

  /** Calls under way are cut off. */
  close(): void {
    this.#closed = true;
    for (const told of this.#onClose) told();
    for (const line of this.#lines) this.#hangUp(line);
  }

  #use(): Line {
    if (this.#closed) throw closedError();
    this.#line ??= this.#connect();
    this.#line.pending += 1;
    return this.#line;
  }

  #failed(line: Line, thrown: unknown, signal: AbortSignal | undefined): BrokerError {
    const error = asBrokerError(thrown);
    if (isTransient(error) && !signal?.aborted) this.#leave(line);
    return error;
  }

  #done(line: Line): void {
    line.pending -= 1;
    if (line !== this.#line && line.pending === 0) this.#hangUp(line);
  }

  #connect(): Line {
    const line = { link: openLink({ ...this.#options, url: this.#addresses.current }), pending: 0 };
    this.#lines.add(line);
    return line;
  }

  #hangUp(line: Line): void {
    this.#lines.delete(line);
    void line.link.then(
      (link) => link.close(),
      () => undefined,
    );
  }

  /** Other calls on it may well succeed, so it is closed when the last of them has ended. */
  #leave(line: Line): void {
    if (this.#line !== line || this.#closed) return;
    this.#line = undefined;
    this.#addresses.next();
  }
}

/** What calls of a closed client end with. */
export function closedError(): BrokerError {
  return new BrokerError("CANCELLED", "the client was closed");
}

interface Line {
  link: Promise<Link>;
  /** Calls under way. */
  pending: number;
}
