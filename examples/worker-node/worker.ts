/**
 * A worker in a screenful: the SDK streams, heartbeats, reports, reconnects and drains.
 * Run: BROKER_TOKEN=<worker token> npx node examples/worker-node/worker.ts    Ends on SIGTERM or Ctrl-C.
 */
import { setTimeout as sleep } from "node:timers/promises";
// In a project of yours: from "ai-job-broker/client".
import { createWorker, Fatal, type Logger } from "../../src/client/index.ts";

const { env } = process;

/** In a project of yours: pino(), or whatever logs there. */
const logger: Logger = {
  debug: () => undefined,
  info: (facts, message) => console.log(message, JSON.stringify(facts)),
  warn: (facts, message) => console.error(message, JSON.stringify(facts)),
  error: (facts, message) => console.error(message, JSON.stringify(facts)),
};

/** The types of jobs that this worker knows, and what goes in and comes out. */
interface Jobs {
  ocr: { payload: { image_path?: string; seconds?: number }; result: { text: string } };
}

const worker = createWorker<Jobs>({
  // One address, or several brokers of one database.
  url: (env["BROKER_URL"] ?? "http://127.0.0.1:50051").split(","),
  token: env["BROKER_TOKEN"] ?? "",
  logger,
  types: {
    ocr: {
      concurrency: Number(env["CONCURRENCY"] ?? 4),
      async handler({ id, payload }, { signal, attempt, progress }) {
        console.log(`${id}: attempt ${attempt}`);
        // FAILED for good; whatever else is thrown is tried again.
        if (payload.image_path === "") throw new Fatal("image_path is empty");
        progress(50, "reading");
        // The signal aborts when nobody wants the result any more: cancelled, lost, or the worker ends.
        await sleep((payload.seconds ?? 0) * 1_000, undefined, { signal });
        return { text: `what stands on ${payload.image_path ?? "nothing"}` };
      },
    },
  },
});

await worker.run();
