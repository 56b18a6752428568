import { expect } from "vitest";
import { startTestBroker } from "../support/broker.ts";
import { expire } from "../support/jobs.ts";
import { until } from "../support/until.ts";
import { test, texts } from "./visit.ts";
import { claim, fail, finish } from "./work.ts";

const PAYLOAD =
  '{"image_path": "한글.png", "academy_id": 12345678901234567890, "pages": [1, 2, {"deep": {"er": true}}]}';

test("a job tells its story attempt by attempt, with its payload and result to read", async ({ db, url, visit }) => {
  await using broker = await startTestBroker(url, { BACKOFF_BASE_MS: "0" });
  await broker.jobs.dispatch({
    jobs: [{ type: "scan", id: "story", payloadJson: PAYLOAD, sourceDomain: "submissions", sourceId: "42" }],
  });
  await fail(broker, "scan", { error: "the model was not loaded", retryable: true });
  await until("it is due", async () => (await db.sql`SELECT FROM ai_job WHERE status = 'PENDING'`).length === 1);
  await finish(broker, "scan", { result: '{"text": "hello", "score": 0.10}' });
  const { page } = await visit(broker.url, { hash: "#/jobs/story" });
  await page.getByText("Dispatched").waitFor();

  const steps = await texts(page, ".timeline > li");
  expect(steps).toHaveLength(3);
  expect(steps[1]).toMatch(/^Attempt 1 w1 .*Failed, to be tried again after .*the model was not loaded$/);
  expect(steps[2]).toMatch(/^Attempt 2 w1 .*Done after/);
  const [payload, result] = await texts(page, ".json");
  expect(payload).toContain('image_path "한글.png"');
  // Exact, as it stands in the database.
  expect(payload).toContain("academy_id 12345678901234567890");
  expect(result).toContain("score 0.10");
  // Below the second level it is closed until it is asked for.
  await page.getByRole("button", { name: "1 key" }).first().click();
  await page.getByText("deep", { exact: true }).waitFor();
  await page.getByRole("link", { name: "submissions / 42" }).click();
  await until("the list is of that source", () => page.url().includes("domain=submissions&source=42"));
});

test("a running job shows its lease, heartbeat and progress, and its end as it comes", async ({ db, url, visit }) => {
  await using broker = await startTestBroker(url, { BACKOFF_BASE_MS: "0" });
  await broker.jobs.dispatch({ jobs: [{ type: "ocr", id: "live" }] });
  const { page } = await visit(broker.url, { hash: "#/jobs/live" });
  await page.locator(".job-id").getByText("Pending").waitFor();

  const [held] = await claim(broker, "ocr");
  await page.locator(".job-id").getByText("Running").waitFor();
  const facts = async () => (await texts(page, ".step-facts")).at(-1);
  expect(await facts()).toMatch(/Lease left (2 m|2 m 1 s|1 m 5\d s) Last heartbeat none yet$/);
  await broker.worker.heartbeat({
    workerId: "w1",
    leases: [{ jobId: "live", leaseToken: held?.leaseToken ?? "", progress: { percent: 40, note: "page 2" } }],
  });
  await page.getByText("page 2").waitFor();
  await page.getByText("40 %").first().waitFor();
  expect(await facts()).toMatch(/Last heartbeat \d+ s ago Progress/);

  await expire(db, "live");
  await page.locator(".job-id").getByText("Pending").waitFor();
  expect(await texts(page, ".timeline > li")).toEqual([
    expect.stringMatching(/^Dispatched/),
    expect.stringMatching(/^Attempt 1 w1 .*Lease lost after /),
  ]);
  await claim(broker, "ocr");
  await page.getByText("Attempt 2").waitFor();
  await broker.jobs.cancelJobs({ jobIds: ["live"], reason: "enough" });
  await page.getByText("Cancelled in").waitFor();
  await page.getByText("enough").waitFor();
}, 40_000);

test("each action has its button where it fits, and does what it says", async ({ db, url, visit }) => {
  await using broker = await startTestBroker(url);
  await broker.jobs.dispatch({ jobs: [{ type: "ocr", id: "one", priority: 3 }] });
  const { page } = await visit(broker.url, { hash: "#/jobs/one" });
  const offered = async () =>
    (await page.getByRole("main").getByRole("button").allInnerTexts()).filter((text) => text.endsWith("…"));
  const status = (name: string) => page.locator(".job-id").getByText(name).waitFor();
  const confirm = async (verb: string, title: string) => {
    await page.getByRole("button", { name: `${verb}…` }).click();
    const dialog = page.getByRole("dialog", { name: title });
    await dialog.getByText("1 job", { exact: true }).waitFor();
    await dialog.getByRole("button", { name: verb }).click();
    await dialog.waitFor({ state: "detached" });
  };
  await status("Pending");
  expect(await offered()).toEqual(["Cancel jobs…", "Priority…"]);
  await page.getByRole("button", { name: "Priority…" }).click();
  expect(await page.getByRole("spinbutton").inputValue()).toBe("3");
  await page.getByRole("spinbutton").fill("-9");
  await page.getByRole("dialog").getByRole("button", { name: "Priority" }).click();
  await until("it has it", async () => (await db.sql`SELECT FROM ai_job WHERE priority = -9`).length === 1);

  await claim(broker, "ocr");
  await status("Running");
  expect(await offered()).toEqual(["Cancel jobs…", "Release…"]);
  await confirm("Release", "Take jobs from their workers");
  await status("Pending");
  await confirm("Cancel jobs", "Cancel jobs");
  await status("Cancelled");
  expect(await offered()).toEqual(["Retry…"]);
  await confirm("Retry", "Retry jobs");
  await status("Pending");
  expect(await texts(page, ".timeline strong")).toEqual([
    "Dispatched",
    "Attempt 1",
    "Cancelled",
    "Sent back by an operator",
  ]);
});

test("the commands that are copied name the job, and a variable in place of the token", async ({
  db: _,
  url,
  visit,
}) => {
  await using broker = await startTestBroker(url);
  await broker.jobs.dispatch({ jobs: [{ type: "ocr", id: "it's", payloadJson: '{"a": "it\'s"}' }] });
  const { page } = await visit(broker.url, { hash: "#/jobs/it's" });
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  const copied = async (name: string) => {
    await page.getByRole("button", { name }).click();
    await page.getByText("Copied").first().waitFor();
    return (await page.evaluate("navigator.clipboard.readText()")) as string;
  };
  const { host } = new URL(broker.url);
  expect(await copied("Copy as grpcurl: get")).toBe(
    `grpcurl -plaintext -H "x-worker-token: $API_TOKEN" -d '{"job_id":"it'\\''s"}' ${host} aibroker.v1.JobService/GetJob`,
  );
  expect(await copied("Copy as grpcurl: dispatch again")).toContain("aibroker.v1.JobService/Dispatch");
});

test("an id that no job has is answered in words", async ({ db: _, url, visit }) => {
  await using broker = await startTestBroker(url);
  const { page } = await visit(broker.url, { hash: "#/jobs/none" });
  await page.getByRole("alert").filter({ hasText: "JOB_NOT_FOUND" }).waitFor();
});

test("a picture in a result is drawn when it is asked for", async ({ db: _, url, visit }) => {
  await using broker = await startTestBroker(url);
  await broker.jobs.dispatch({ jobs: [{ type: "ocr", id: "picture" }] });
  const dot = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
  await finish(broker, "ocr", { result: JSON.stringify({ image: `data:image/png;base64,${dot}` }) });
  const { page } = await visit(broker.url, { hash: "#/jobs/picture" });
  await page.getByRole("button", { name: "Show the picture" }).click();
  const picture = page.getByRole("img", { name: "Picture in the JSON" });
  await picture.waitFor();
  await until(
    "it is drawn",
    async () => (await page.evaluate("document.querySelector('.json-picture').naturalWidth")) === 1,
  );
});

test("a picture that a job names is shown where the broker has its folder, and what is wrong said where not", async ({
  db: _,
  url,
  visit,
}) => {
  await using broker = await startTestBroker(url, { DASHBOARD_IMAGES: "examples/sheets" });
  // In the order in which jsonb keeps them: by the length of their names.
  const payloadJson = JSON.stringify({ url: "https://example.com/a.png", path: "english.png", other: "none.png" });
  await broker.jobs.dispatch({ jobs: [{ type: "ocr", id: "named", payloadJson }] });
  const { page } = await visit(broker.url, { hash: "#/jobs/named" });
  const buttons = page.getByRole("button", { name: "Show the picture" });
  await buttons.first().waitFor();
  // Not for the address of elsewhere: the page asks nobody but its broker.
  expect(await buttons.count()).toBe(2);
  await buttons.nth(1).click();
  await page.getByRole("alert").filter({ hasText: "no image of this name" }).waitFor();
  await buttons.first().click();
  await page.getByRole("img", { name: "Picture english.png" }).waitFor();
  await until(
    "it is drawn",
    async () => Number(await page.evaluate("document.querySelector('.json-picture').naturalWidth")) > 100,
  );
});

test("pictures are not offered unless a setting says from where", async ({ db: _, url, visit }) => {
  await using broker = await startTestBroker(url);
  await broker.jobs.dispatch({ jobs: [{ type: "ocr", id: "named", payloadJson: '{"image_path": "english.png"}' }] });
  const { page } = await visit(broker.url, { hash: "#/jobs/named" });
  await page.getByText('"english.png"').waitFor();
  expect(await page.getByRole("button", { name: "Show the picture" }).count()).toBe(0);
});
