import { BrokerError, type Reason } from "../errors.ts";

/** An answer other than success, thrown from wherever the fault is found. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly status: number;
  /** Whether the rest of the request is not worth reading: the connection ends with the answer. */
  readonly close: boolean;

  /** `detail` goes to the caller as it is. */
  constructor(status: number, detail: string, close = false) {
    super(detail);
    this.status = status;
    this.close = close;
  }
}

const REASONS: Readonly<Record<number, Reason>> = {
  400: "BAD_FIELD",
  401: "BAD_TOKEN",
  404: "JOB_NOT_FOUND",
  405: "NOT_SERVED",
  406: "NOT_SERVED",
  408: "CALL_ENDED",
  413: "REQUEST_TOO_LARGE",
  415: "NOT_SERVED",
  503: "TOKEN_NOT_CONFIGURED",
};

/** What an error here is in the words of docs/errors.md, for the log and the metrics: legacy workers do not read them. */
export function reasonOf(err: unknown): Reason {
  if (err instanceof BrokerError) return err.reason;
  return (err instanceof Refusal ? REASONS[err.status] : undefined) ?? "INTERNAL";
}
