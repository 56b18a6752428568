/** How a system is spoken to, in the processes that load it and work for it. */

/** A job of every bench: small, and it says when it was dispatched. */
export interface BenchPayload {
  /** By clock.ts, just before the call that dispatches it. */
  sentUs: number;
  /** So that a payload has about 250 bytes. */
  note: string;
}

export const JOB_TYPE = "noop";

export interface Producer {
  /** Resolves when the system says that the job is stored. */
  dispatch(payload: BenchPayload): Promise<unknown>;
  /** All of them in one call. */
  dispatchMany(payloads: BenchPayload[]): Promise<unknown>;
  close(): Promise<unknown>;
}

export interface Worker {
  close(): Promise<unknown>;
}

export interface WorkerSettings {
  /** Jobs at a time. */
  concurrency: number;
  /** The first thing that the handler does. */
  onJob: (payload: BenchPayload) => void;
}

export interface Client<T> {
  openProducer(target: T): Promise<Producer>;
  /** Resolves when it takes jobs. */
  openWorker(target: T, settings: WorkerSettings): Promise<Worker>;
}

/** As JSON, of every job but where its length is what is measured. */
export const PAYLOAD_BYTES = 250;

export function payloadOf(sentUs: number): BenchPayload {
  return { sentUs, note: NOTE };
}

const NOTE = "x".repeat(PAYLOAD_BYTES - JSON.stringify({ sentUs: 1_234_567_890_123.456, note: "" }).length);
