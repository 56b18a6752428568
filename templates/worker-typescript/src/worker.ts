/** The worker. Stream, heartbeats, reports, reconnects and the end on SIGTERM are the SDK's; the work is in jobs.ts. */
import { createWorker, type Logger } from "ai-job-broker/client";
import { findBroker } from "./broker.ts";
import { type Jobs, types } from "./jobs.ts";

/** A pino logger fits here as it is. */
const logger: Logger = {
  debug: () => undefined,
  info: (facts, message) => console.log(message, JSON.stringify(facts)),
  warn: (facts, message) => console.error(message, JSON.stringify(facts)),
  error: (facts, message) => console.error(message, JSON.stringify(facts)),
};

await createWorker<Jobs>({ ...findBroker(process.env), logger, types }).run();
