/** Unary calls to whichever broker answers. */
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { createAddresses } from "./addresses.ts";
import { backoffMs } from "./backoff.ts";
import { asBrokerError, BrokerError, isTransient } from "./broker-error.ts";
import type { Link, LinkCall, LinkOptions } from "./link.ts";
import { openLink } from "./open-link.ts";
import { pause } from "./pause.ts";

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
    if (this.#closed) throw new BrokerError("CANCELLED", "the client was closed");
    this.#line ??= this.#connect();
    const line = this.#line;
    line.pending += 1;
    try {
      const link = await line.link;
      return await link.call(method, request, call);
    } catch (thrown) {
      const error = asBrokerError(thrown);
      if (isTransient(error) && !call.signal?.aborted) this.#leave(line);
      throw error;
    } finally {
      line.pending -= 1;
      if (line !== this.#line && line.pending === 0) this.#hangUp(line);
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

  /** Calls under way are cut off. */
  close(): void {
    this.#closed = true;
    for (const line of this.#lines) this.#hangUp(line);
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

interface Line {
  link: Promise<Link>;
  /** Calls under way. */
  pending: number;
}
