import { expect } from "vitest";
import { startTestBroker } from "../support/broker.ts";
import { openWork } from "../support/raw-work.ts";
import { until } from "../support/until.ts";
import { test, textOf, texts } from "./visit.ts";
import { claim } from "./work.ts";

test("without workers it says how to start one", async ({ db: _, url, visit }) => {
  await using broker = await startTestBroker(url);
  const { page } = await visit(broker.url, { hash: "#/workers" });
  await page.getByText("No worker has called").waitFor();
  expect((await texts(page, ".command code"))[0]).toContain("worker");
});

test("a streaming worker shows its seats and what it holds; one that dies is marked within 10 s", async ({
  db: _,
  url,
  visit,
}) => {
  await using broker = await startTestBroker(url);
  const worker = await openWork(broker.url);
  await worker.hello({ workerId: "streamer", types: ["ocr"], maxInFlight: 4, client: "story/1.2" });
  const { page } = await visit(broker.url, { hash: "#/workers" });
  await broker.jobs.dispatch({ jobs: [{ type: "ocr", id: "held" }] });
  const card = page.locator(".worker").filter({ hasText: "streamer" });
  await card.getByText("1 of 4 seats").waitFor();
  const text = (await textOf(card)).replaceAll(/\s+/g, " ");
  expect(text).toContain("Live streamer stream");
  expect(text).toContain("story/1.2");
  expect(text).toMatch(/last heard \d+ s ago .*held ocr 1 \d+ s ago (2 m|1 m \d+ s)/);

  const diedAt = performance.now();
  worker.destroy();
  await card.getByText("Gone").waitFor({ timeout: 12_000 });
  expect(performance.now() - diedAt).toBeLessThan(10_000);
}, 40_000);

test("a job that is claimed between the two questions is not counted without being shown", async ({
  db: _,
  url,
  visit,
}) => {
  await using broker = await startTestBroker(url);
  const { page } = await visit(broker.url, { hash: "#/workers" });
  await page.getByText("No worker has called").waitFor();
  const asked = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  await page.route("**/*.AdminService/ListWorkers", (route) => {
    asked.resolve();
    return goOn.promise.then(() => route.continue()).catch(() => undefined);
  });
  await asked.promise;
  await broker.jobs.dispatch({ jobs: [{ type: "ocr", id: "held" }] });
  await claim(broker, "ocr", { workerId: "poller" });
  // Whoever asks for the jobs at the same time has their answer by now, without it.
  goOn.resolve();
  const card = page.locator(".worker").filter({ hasText: "poller" });
  expect(await textOf(card)).toMatch(/^● Live poller calls last heard \d+ s ago .*held ocr 1/);
}, 40_000);

test("one that died just before the page was opened is marked within 10 s, too, and after a reload", async ({
  db: _,
  url,
  visit,
}) => {
  await using broker = await startTestBroker(url);
  const worker = await openWork(broker.url);
  await worker.hello({ workerId: "streamer", types: ["ocr"] });
  // Else nothing would be known of it but its end.
  const seen = async () => (await broker.admin.listWorkers({})).workers[0]?.firstSeenAt;
  await until("it is written down", async () => (await seen()) !== undefined, 15_000);

  const diedAt = performance.now();
  worker.destroy();
  const { page } = await visit(broker.url, { hash: "#/workers" });
  const card = page.locator(".worker").filter({ hasText: "streamer" });
  await card.getByText("Gone").waitFor({ timeout: 12_000 });
  expect(performance.now() - diedAt).toBeLessThan(10_000);
  expect(await textOf(card)).toContain("Gone streamer stream");
  await page.reload();
  await card.getByText("Gone").waitFor();
}, 40_000);

test("workers by calls and at the old endpoints are told apart, and lead to their jobs", async ({
  db: _,
  url,
  visit,
}) => {
  await using broker = await startTestBroker(url);
  await broker.jobs.dispatch({ jobs: [{ type: "ocr", id: "one" }] });
  await claim(broker, "ocr", { workerId: "caller" });
  await broker.rest("GET", "next", undefined, "old-1");
  const { page } = await visit(broker.url, { hash: "#/workers" });
  const heads = () => texts(page, ".worker-head");
  await until("both are there", async () => (await heads()).length === 2);
  const all = (await heads()).sort().map((head) => head.replace(/ last heard.*/, ""));
  expect(all).toEqual(["● Live caller calls", "● Live old-1 legacy REST"]);
  await page.getByRole("link", { name: "one" }).click();
  await page.getByText("Dispatched").waitFor();
});
