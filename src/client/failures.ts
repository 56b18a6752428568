/** What a handler throws to say what becomes of its job, and what its signal is aborted with. */

/** Thrown by a handler: the attempt FAILED, and no other attempt would help. */
export class Fatal extends Error {
  override readonly name = "Fatal";
}

/** Thrown by a handler: the attempt FAILED, and the next one is to start after this time instead of the usual backoff. */
export class RetryIn extends Error {
  override readonly name = "RetryIn";
  /** 0..30 days. */
  readonly delayMs: number;

  constructor(delayMs: number, message = `to be tried again in ${delayMs} ms`, options?: ErrorOptions) {
    super(message, options);
    this.delayMs = delayMs;
  }
}

/** Reason of `ctx.signal`: the job is to be cancelled. Stop; whatever comes of the handler is reported. */
export class Cancelled extends Error {
  override readonly name = "Cancelled";
}

/** Reason of `ctx.signal`: the lease belongs to someone else now. Stop; whatever comes of the handler is dropped. */
export class LeaseLost extends Error {
  override readonly name = "LeaseLost";
}

/** Reason of `ctx.signal`: the worker ends. A result still counts if it comes at once; else the job goes back. */
export class Shutdown extends Error {
  override readonly name = "Shutdown";
}

/** A payload or a result that its schema does not accept. */
export class SchemaError extends Error {
  override readonly name = "SchemaError";
  /** Each fault, with the path of the value, for example "pages[2].text: Required". */
  readonly faults: readonly string[];

  constructor(what: string, faults: readonly string[]) {
    super(`${what} does not fit its schema: ${faults.join("; ")}`);
    this.faults = faults;
  }
}
