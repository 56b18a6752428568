/** A worker in a process of its own, for tests that stop or block one: `node worker-process.ts '{"url": …}'`. */
import { createWorker } from "../../src/client/index.ts";

interface Arguments {
  url: string | string[];
  token: string;
  mode?: "auto" | "stream" | "poll";
  transport?: "grpc-js" | "connect";
  graceMs?: number;
  maxBlockMs?: number;
  concurrency?: number;
}

const { concurrency = 1, ...settings } = JSON.parse(process.argv[2] ?? "{}") as Arguments;

/** Tells the test, one line each time. */
const say = (line: string) => void process.stdout.write(`${line}\n`);

/** The one line of the log that a test waits for. */
const info = (_: object, words = "") => words.startsWith("the worker ends") && say("ending");
const nothing = () => undefined;

const worker = createWorker({
  ...settings,
  logger: { debug: nothing, info, warn: nothing, error: nothing },
  types: {
    // Holds the event loop.
    block: {
      concurrency,
      handler: ({ payload }) => {
        say("blocking");
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(payload["ms"]));
        return { blocked: payload["ms"] };
      },
    },
    // Works until it is told to stop, or to finish.
    wait: {
      concurrency,
      handler: async (job, { signal }) => {
        say(`started ${job.id}`);
        await new Promise((resolve, reject) => {
          signal.addEventListener("abort", () => reject(signal.reason));
          process.stdin.once("data", resolve);
        });
        return { waited: true };
      },
    },
  },
});

// A test run that is killed takes its end of the pipe along, and nobody is left to end us.
process.stdin.resume().once("end", () => process.exit(1));

await worker.run();
say("ended");
// The test's end of the pipe keeps a reader open.
process.stdin.destroy();
