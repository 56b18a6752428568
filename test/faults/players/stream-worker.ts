/** A worker of the SDK, over a stream. The tap writes down what it sends and gets. */
import { createWorker } from "../../../src/client/index.ts";
import { pass } from "../pace.ts";
import { answerParent, type Payload, settingsOf, TYPE, type WorkerSettings } from "./settings.ts";

const { name, token, urls, seats } = settingsOf<WorkerSettings>();
let ended = 0;

async function handle({ payload }: { payload: object }, { attempt }: { attempt: number }): Promise<object> {
  const { ms, failures } = payload as Payload;
  await pass(ms);
  ended += 1;
  if (attempt <= failures) throw new Error(`attempt ${attempt} of ${name} fails, as the job asks`);
  return { by: name, attempt };
}

const worker = createWorker({
  url: urls,
  token,
  workerId: name,
  signals: false,
  mode: "stream",
  types: { [TYPE]: { concurrency: seats, handler: handle } },
});
const leaving = new AbortController();
const running = worker.run({ signal: leaving.signal });

answerParent({
  ended: () => ended,
  leave: async () => {
    leaving.abort();
    await running;
  },
});
await running;
