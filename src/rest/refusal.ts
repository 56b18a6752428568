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
