/** Watches come and go by the hundred while jobs move. By hand with ten thousand: `COUNT=10000 npx vitest run …` */
import { expect } from "vitest";
import { type Client, createClient, type WatchUpdate } from "../../src/client/index.ts";
import { API_TOKEN, startTestBroker, type TestBroker } from "../support/broker.ts";
import { test } from "../support/db.ts";
import { until } from "../support/until.ts";

const WATCHES = Number(process.env["COUNT"] ?? 500);
const AT_A_TIME = 100;
const CLIENTS = 4;
const FILTER = { types: ["churn"] };

const keysOf = (update: WatchUpdate) =>
  update.kind === "changes" ? update.changes.map(({ jobId, seq }) => `${jobId} ${seq}`) : [];

/**
 * Jobs come and are cancelled, five at a time, until it is told to stop; answers how many. No faster than they are heard of:
 * each watch begins with the state of all of them.
 */
async function move(broker: TestBroker, heard: () => number, isOver: () => boolean): Promise<number> {
  for (let n = 0; ; n += 5) {
    await until("the witness has heard of all so far", () => heard() === 2 * n);
    if (isOver()) return n;
    const jobIds = [0, 1, 2, 3, 4].map((at) => `job-${n + at}`);
    await broker.jobs.dispatch({ jobs: jobIds.map((id) => ({ id, type: "churn" })) });
    await broker.jobs.cancelJobs({ jobIds });
  }
}

/** One watch, left after so many changes; answers what it was told, and how each job stood when it began. */
async function look(client: Client, changes: number) {
  const told: string[] = [];
  const begun = new Map<string, number>();
  for await (const update of client.watch(FILTER)) {
    if (update.kind === "state") for (const { jobId, seq } of update.jobs) begun.set(jobId, seq);
    told.push(...keysOf(update));
    if (told.length >= changes) break;
  }
  return { told, begun };
}

/** A job's changes begin behind the state, or with its first one, and none is left out or told twice. */
function expectWhole({ told, begun }: Awaited<ReturnType<typeof look>>): void {
  const last = new Map(begun);
  for (const key of told) {
    const [jobId = "", seq] = key.split(" ");
    expect(Number(seq), key).toBe((last.get(jobId) ?? 0) + 1);
    last.set(jobId, Number(seq));
  }
}

test("each is told a piece of the one history, none is left behind", async ({ db: _, url }) => {
  // One that is not taken off the count refuses others before long.
  await using broker = await startTestBroker(url, { WATCH_MAX_STREAMS: String(AT_A_TIME + 10) });
  const clients = Array.from({ length: CLIENTS }, () => createClient({ url: broker.url, token: API_TOKEN }));
  const history: string[] = [];
  const leave = new AbortController();
  const watch = createClient({ url: broker.url, token: API_TOKEN }).watch(FILTER, { signal: leave.signal });
  await watch.next();
  const witness = (async () => {
    for await (const update of watch) history.push(...keysOf(update));
  })();
  let isOver = false;
  const moving = move(
    broker,
    () => history.length,
    () => isOver,
  );

  const looks: Awaited<ReturnType<typeof look>>[] = [];
  let begun = 0;
  const watchOn = async (client: Client) => {
    while (begun < WATCHES) looks.push(await look(client, 1 + (begun++ % 7)));
  };
  const watched = Promise.all(Array.from({ length: AT_A_TIME }, (_, at) => watchOn(clients[at % CLIENTS] as Client)));
  // Nothing is told any more once the jobs have stopped to move.
  await Promise.race([watched, moving]);
  expect(begun).toBeGreaterThanOrEqual(WATCHES);
  await watched;
  isOver = true;
  const jobs = await moving;
  expect(history).toHaveLength(2 * jobs);

  const placeOf = new Map(history.map((key, at) => [key, at]));
  expect(placeOf.size).toBe(history.length);
  for (const one of looks) {
    expectWhole(one);
    const places = one.told.map((key) => placeOf.get(key) as number).sort((a, b) => a - b);
    expect((places.at(-1) as number) - (places[0] as number)).toBe(places.length - 1);
  }
  expect(looks.length).toBeGreaterThanOrEqual(WATCHES);
  leave.abort();
  await witness;
  for (const client of clients) client.close();
}, 180_000);
