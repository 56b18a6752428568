/** A worker in a process of its own that prints its spans: `node traced-worker.ts '{"url": …, "token": …}'`. */
import { trace } from "@opentelemetry/api";
import { createWorker } from "../../src/client/index.ts";
import { recordSpans } from "./recorded-spans.ts";

const { url, token, mode } = JSON.parse(process.argv[2] ?? "{}") as { url: string; token: string; mode: "stream" };

const say = (line: object) => void process.stdout.write(`${JSON.stringify(line)}\n`);
recordSpans(say);

const stop = new AbortController();
// A test run that is killed takes its end of the pipe along.
process.stdin.resume().once("end", () => stop.abort());

await createWorker({
  url,
  token,
  mode,
  signals: false,
  types: {
    ocr: {
      handler: async () => {
        // What a handler does by itself, such as a call of a model, some time after its start.
        await Promise.resolve();
        trace.getTracer("the handler's own").startSpan("read the sheet").end();
        return { text: "read" };
      },
    },
    math: {
      handler: () => {
        throw new Error("no such sheet");
      },
    },
  },
}).run({ signal: stop.signal });
process.stdin.destroy();
