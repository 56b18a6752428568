/** What open pages cost their broker: few calls, however much happens in it, and none where nobody looks. */
import { expect } from "vitest";
import { startTestBroker } from "../support/broker.ts";
import { until } from "../support/until.ts";
import { test, type Visit } from "./visit.ts";
import { claim, finish } from "./work.ts";

/** So many calls of a page every so often, at most, and the streams that it holds. */
const PACES: Record<string, { calls: number; everyMs: number; streams: string[] }> = {
  // Its charts.
  "#/": { calls: 1, everyMs: 10_000, streams: ["AdminService/WatchStats"] },
  // The first page of the list, when the numbers move, which they do once a second at most.
  "#/jobs": { calls: 1, everyMs: 1_000, streams: ["AdminService/WatchStats"] },
  // Nothing happens to it.
  "#/jobs/done": { calls: 0, everyMs: 10_000, streams: ["AdminService/WatchStats", "JobService/WatchJobs"] },
  // It is looked at with its events, for heartbeats.
  "#/jobs/runs": { calls: 2, everyMs: 4_000, streams: ["AdminService/WatchStats", "JobService/WatchJobs"] },
  // Workers, and what they hold.
  "#/workers": { calls: 2, everyMs: 4_000, streams: ["AdminService/WatchStats"] },
  "#/webhooks": { calls: 1, everyMs: 5_000, streams: ["AdminService/WatchStats"] },
  // Health, and the machines that were started.
  "#/system": { calls: 2, everyMs: 15_000, streams: ["AdminService/WatchStats"] },
};

test("no page asks again and again while jobs come by the hundred, and one behind another tab not at all", async ({
  url,
  visit,
}) => {
  // A stream's sign of life is no news.
  await using broker = await startTestBroker(url, { WATCH_HEARTBEAT_MS: "1000" });
  await broker.jobs.dispatch({ jobs: ["done", "runs"].map((id) => ({ type: id, id })) });
  await finish(broker, "done");
  await claim(broker, "runs");
  const opened: [hash: string, visit: Visit][] = [];
  for (const hash of Object.keys(PACES)) {
    const one = await visit(broker.url, { hash });
    await one.page.getByText("Live", { exact: true }).waitFor();
    opened.push([hash, one]);
  }
  const hidden = await visit(broker.url, { hash: "#/workers" });
  await hidden.page.getByText("Live", { exact: true }).waitFor();
  // Once when it is opened, and once when its stream is.
  for (const [hash, one] of opened.filter(([name]) => name.startsWith("#/jobs/")))
    await until(`${hash} is at rest`, () => count(one, "JobService/GetJob") >= 2);
  const ended = hidden.page.waitForEvent("requestfailed", { timeout: 20_000 });
  await hide(hidden, true);

  const counts = opened.map(([, { calls }]) => calls.length);
  const since = performance.now();
  await lookedAgain(opened, 3, () => broker.jobs.dispatch({ jobs: [{ type: "wait" }] }));
  const passedMs = performance.now() - since;
  for (const [at, [hash, { calls }]] of opened.entries()) {
    const { calls: most, everyMs, streams } = PACES[hash] ?? expect.fail(hash);
    expect(calls.filter((call) => call.includes("/Watch")).sort(), hash).toEqual(streams);
    expect(calls.length - (counts[at] ?? 0), hash).toBeLessThanOrEqual(most * Math.ceil(passedMs / everyMs));
  }

  expect((await ended).url()).toContain("WatchStats");
  const before = [...hidden.calls];
  await lookedAgain(opened, 2);
  expect(hidden.calls).toEqual(before);
  await hide(hidden, false);
  await until("its stream is opened again", () => count(hidden, "AdminService/WatchStats") === 2);
}, 90_000);

const count = ({ calls }: Visit, name: string) => calls.filter((call) => call === name).length;

/** Until the page of workers, which looks every 4 s, has done so. */
async function lookedAgain(opened: [string, Visit][], times: number, meanwhile?: () => Promise<unknown>) {
  const workers = new Map(opened).get("#/workers") ?? expect.fail("no page of workers");
  const from = count(workers, "AdminService/ListWorkers");
  const done = async () => {
    await meanwhile?.();
    return count(workers, "AdminService/ListWorkers") >= from + times;
  };
  await until(`workers are looked at ${times} times`, done, 40_000);
}

function hide({ page }: Visit, hidden: boolean): Promise<unknown> {
  return page.evaluate(`Object.defineProperty(document, "hidden", { value: ${hidden}, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));`);
}
