import { expect } from "vitest";
import { AIResultStatus } from "../../src/gen/aibroker/v1/job_pb.ts";
import { startTestBroker } from "../support/broker.ts";
import { until } from "../support/until.ts";
import { test, textOf, texts } from "./visit.ts";

test("an empty queue says what to do, with a command to copy", async ({ db: _, url, visit }) => {
  await using broker = await startTestBroker(url);
  const { page } = await visit(broker.url);
  await page.getByText("No jobs yet").waitFor();
  expect((await texts(page, ".command code"))[0]).toMatch(/^npx ai-job-broker dispatch ocr /);
  await page.getByRole("button", { name: "Copy the command" }).click();
  await page.getByText("Copied").waitFor();
});

test("what happens to jobs shows in the numbers, without a reload", async ({ db: _, url, visit }) => {
  await using broker = await startTestBroker(url);
  const { page, calls } = await visit(broker.url);
  await page.getByText("No jobs yet").waitFor();

  await broker.jobs.dispatch({ jobs: [{ type: "ocr" }, { type: "ocr" }, { type: "embedding" }] });
  const row = page.getByRole("row").filter({ has: page.getByRole("rowheader", { name: "ocr" }) });
  await row.waitFor();
  const cells = async () => (await row.getByRole("cell").allInnerTexts()).slice(0, 3);
  expect(await cells()).toEqual(["2", "0", "0"]);

  const { jobs } = await broker.worker.claim({ workerId: "w1", types: ["ocr"], maxJobs: 1 });
  await until("one runs", async () => (await cells()).join() === "1,0,1");
  await broker.worker.report({
    workerId: "w1",
    items: jobs.map(({ job, leaseToken }) => ({
      leaseToken,
      result: { jobId: job?.id ?? "", status: AIResultStatus.AI_RESULT_STATUS_DONE, resultJson: "{}" },
    })),
  });
  await until("it is done", async () => (await textOf(row.getByRole("cell").nth(3))) === "1");
  await until("the tiles agree", async () => (await texts(page, ".tile-value"))[2] === "1");
  // Told by the stream: it is opened once, and nothing else is asked again and again.
  expect(calls.filter((call) => call.endsWith("WatchStats"))).toHaveLength(1);
});

test("a type is paused with a reason, and resumed", async ({ db, url, visit }) => {
  await using broker = await startTestBroker(url);
  await broker.jobs.dispatch({ jobs: [{ type: "ocr" }] });
  const { page } = await visit(broker.url);
  await page.getByRole("button", { name: "Pause" }).click();
  const dialog = page.getByRole("dialog", { name: "Pause ocr" });
  await dialog.getByLabel("Reason").fill("the model is wrong");
  await dialog.getByRole("button", { name: "Pause" }).click();
  await page.getByText("paused", { exact: true }).waitFor();
  expect(await db.sql`SELECT reason FROM ai_type_pause`).toEqual([{ reason: "the model is wrong" }]);
  await page.getByRole("button", { name: "Resume" }).click();
  await page.getByRole("button", { name: "Pause" }).waitFor();
  expect(await db.sql`SELECT FROM ai_type_pause`).toHaveLength(0);
});

test("charts cover 15 minutes, an hour and a day, of all types or of one; the address remembers", async ({
  db: _,
  url,
  visit,
}) => {
  await using broker = await startTestBroker(url);
  await broker.jobs.dispatch({ jobs: [{ type: "ocr" }] });
  const { page, calls } = await visit(broker.url);
  await page.getByRole("img", { name: /^Jobs per minute/ }).waitFor();
  expect(await page.locator("canvas").count()).toBe(3);
  await page.getByRole("radio", { name: "24 h" }).check();
  await page.getByRole("button", { name: "ocr", exact: true }).click();
  await page.getByText("Jobs per minute · ocr").waitFor();
  expect(page.url()).toContain("#/?type=ocr&span=24h");
  await page.reload();
  await page.getByText("Jobs per minute · ocr").waitFor();
  expect(await page.getByRole("radio", { name: "24 h" }).isChecked()).toBe(true);
  expect(calls.filter((call) => call.endsWith("GetHistory")).length).toBeLessThan(8);
});
