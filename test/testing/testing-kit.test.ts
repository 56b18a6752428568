/** The testing kit, used as its users would. */
import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { z } from "zod";
import { Cancelled, createClient, createWorker, Fatal, type Handler, RetryIn } from "../../src/client/index.ts";
import { runOne, startTestBroker } from "../../src/testing/index.ts";
import { until } from "../support/until.ts";

test("a broker in one line takes jobs, gives them to workers, and leaves nothing behind", async () => {
  let folder = "";
  {
    await using broker = await startTestBroker({ settings: { LEASE_TTL_MS: "5000" } });
    folder = new URL(broker.databaseUrl).searchParams.get("host") ?? "";
    expect(existsSync(folder)).toBe(true);
    await using client = createClient({ url: broker.url, token: broker.apiToken });
    const stop = new AbortController();
    const worker = createWorker({
      url: broker.url,
      token: broker.workerToken,
      signals: false,
      types: { greet: { handler: ({ payload }) => ({ greeting: `Hello, ${payload["name"]}` }) } },
    });
    const running = worker.run({ signal: stop.signal });
    const { jobId } = await client.dispatch("greet", { name: "Ada" });
    const job = await until("it is done", async () => {
      const seen = await client.get(jobId);
      return seen?.status === "DONE" && seen;
    });
    expect(job.result).toEqual({ greeting: "Hello, Ada" });
    stop.abort();
    await running;
  }
  expect(existsSync(folder)).toBe(false);
}, 60_000);

test("a wrong setting is refused by name, and nothing is started", async () => {
  await expect(startTestBroker({ settings: { LEASE_TTL_MS: "soon" } })).rejects.toThrow("LEASE_TTL_MS");
});

interface Sheet {
  pages: string[];
}

const count: Handler<Sheet, { letters: number }> = async ({ payload }, ctx) => {
  let letters = 0;
  for (const [index, page] of payload.pages.entries()) {
    ctx.signal.throwIfAborted();
    if (page === "") throw new Fatal("an empty page");
    if (page === "busy") throw new RetryIn(1_000, "the engine is busy");
    letters += page.length;
    ctx.progress(((index + 1) / payload.pages.length) * 100, `page ${index + 1}`);
    if ((await ctx.heartbeat()) !== "CONTINUE") break;
  }
  return { letters };
};

test("one handler runs without a broker, and its progress is there to be read", async () => {
  expect(await runOne(count, { pages: ["ab", "cde"] })).toEqual({
    status: "DONE",
    result: { letters: 5 },
    progress: [
      { percent: 50, note: "page 1" },
      { percent: 100, note: "page 2" },
    ],
    heartbeats: 2,
  });
});

test("what it throws is what would be reported", async () => {
  const fatal = await runOne(count, { pages: [""] });
  expect(fatal).toMatchObject({ status: "FAILED", error: "an empty page", retryable: false });
  const later = await runOne(count, { pages: ["busy"] });
  expect(later).toMatchObject({ status: "FAILED", retryable: true, retryDelayMs: 1_000 });
});

test("it can be told to stop, by the signal and by a heartbeat's verdict", async () => {
  const signal = AbortSignal.abort(new Cancelled("enough"));
  expect(await runOne(count, { pages: ["ab"] }, { signal })).toMatchObject({ status: "FAILED", error: "enough" });
  const lost = await runOne(count, { pages: ["ab", "cd"] }, { verdict: "LOST" });
  expect(lost).toMatchObject({ result: { letters: 2 }, heartbeats: 1 });
});

test("payload and result pass through JSON, the schemas and the limit as in a worker", async () => {
  const dated = await runOne((job: { payload: { at: Date } }) => ({ kind: typeof job.payload.at }), { at: new Date() });
  expect(dated.result).toEqual({ kind: "string" });
  const schemas = { payload: z.object({ n: z.number() }), result: z.object({ twice: z.number() }) };
  const twice = ({ payload }: { payload: { n: number } }) => ({ twice: payload.n * 2 });
  expect(await runOne(twice, { n: 2 }, schemas)).toMatchObject({ status: "DONE", result: { twice: 4 } });
  expect(await runOne(twice, { n: "2" } as never, schemas)).toMatchObject({ status: "FAILED", retryable: false });
  expect(await runOne(twice, { n: 2 }, { maxResultBytes: 5 })).toMatchObject({ status: "FAILED", retryable: false });
  await expect(runOne(twice, { n: 2n } as never)).rejects.toThrow("cannot be written as JSON");
});
