/** The jobs that this worker does: their types, and the work. */
import { setTimeout as sleep } from "node:timers/promises";
import { Fatal, type Handler, type WorkerOptions } from "ai-job-broker/client";

/** What a producer sends. No broker fills in what it leaves out. */
export interface Payload {
  image_path?: string | null;
  /** How long the work takes: to try a cancel, a Ctrl-C or a restart of the broker in the middle. */
  seconds?: number | null;
}

/** What a producer gets. */
export interface Result {
  text: string;
}

/** Each type of job, with what goes in and what comes out. */
export interface Jobs {
  ocr: { payload: Payload; result: Result };
}

/** What it returns is the result; what it throws is a failed attempt, after which the job is tried again. */
export const handler: Handler<Payload, Result> = async ({ payload }, { signal, attempt, logger, progress }) => {
  logger.info({ attempt }, "begins");
  // Another attempt would not help, so the job is FAILED at once.
  if (payload.image_path === "") throw new Fatal("image_path is empty");
  progress(50, "reading");
  // The signal aborts when nobody wants the result any more: cancelled, lost, or the worker ends.
  await sleep((payload.seconds ?? 0) * 1_000, undefined, { signal });
  logger.info({ attempt }, "is done");
  return { text: `what stands on ${payload.image_path ?? "nothing"}` };
};

/** Who does which type, and how many of them at a time. */
export const types: WorkerOptions<Jobs>["types"] = {
  ocr: { handler, concurrency: 4 },
};
