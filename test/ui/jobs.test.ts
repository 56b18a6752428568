import { expect } from "vitest";
import type { Database } from "../../src/store/db.ts";
import { startTestBroker, type TestBroker } from "../support/broker.ts";
import { until } from "../support/until.ts";
import { test, textOf, texts } from "./visit.ts";
import { claim, fail, finish } from "./work.ts";

/** Three that failed, two that wait, one that runs, one that is done. */
async function givenJobs(broker: TestBroker): Promise<void> {
  const jobs = (type: string, count: number, tenantId = "t1") =>
    Array.from({ length: count }, (_, index) => ({ type, id: `${type}-${index}`, tenantId }));
  await broker.jobs.dispatch({ jobs: [...jobs("bad", 3), ...jobs("run", 1), ...jobs("good", 1)] });
  await fail(broker, "bad", { maxJobs: 3, error: "no such image: 한글.png" });
  await claim(broker, "run");
  await finish(broker, "good");
  await broker.jobs.dispatch({ jobs: jobs("wait", 2, "t2") });
}

const many = (count: number, from = 0) =>
  Array.from({ length: count }, (_, index) => ({ type: "many", id: `many-${from + index}` }));

const statusesOf = async (db: Database, type: string) =>
  (await db.sql`SELECT status FROM ai_job WHERE job_type = ${type} ORDER BY id`).map((row) => row["status"]);

test("an empty list says what to do", async ({ db: _, url, visit }) => {
  await using broker = await startTestBroker(url);
  const { page } = await visit(broker.url, { hash: "#/jobs" });
  await page.getByText("No jobs yet").waitFor();
  expect((await texts(page, ".command code"))[0]).toContain("ai-job-broker dispatch");
});

test("the newest come first, and new ones come by themselves", async ({ db: _, url, visit }) => {
  await using broker = await startTestBroker(url);
  await givenJobs(broker);
  const { page } = await visit(broker.url, { hash: "#/jobs" });
  const ids = () => texts(page, ".cell-id a");
  await until("all are there", async () => (await ids()).length === 7);
  expect(await ids()).toEqual(["wait-1", "wait-0", "good-0", "run-0", "bad-2", "bad-1", "bad-0"]);
  expect(await texts(page, ".rows-row .chip")).toContain("◐ Running");
  await broker.jobs.dispatch({ jobs: [{ type: "wait", id: "newest" }] });
  await until("it comes", async () => (await ids())[0] === "newest");
});

test("filters by state, type, tenant, worker and error; the address keeps them and each can be taken off", async ({
  db: _,
  url,
  visit,
}) => {
  await using broker = await startTestBroker(url);
  await givenJobs(broker);
  const { page } = await visit(broker.url, { hash: "#/jobs" });
  const shows = (wanted: string[]) =>
    until(`it shows ${wanted}`, async () => (await texts(page, ".cell-id a")).join() === wanted.join());
  await page.getByRole("button", { name: "Failed", exact: true }).click();
  await shows(["bad-2", "bad-1", "bad-0"]);
  expect(page.url()).toContain("#/jobs?status=FAILED");
  await page.getByRole("button", { name: "Failed", exact: true }).click();
  await page.getByRole("button", { name: "More filters" }).click();
  const fill = async (label: string, text: string) => {
    await page.getByLabel(label, { exact: true }).fill(text);
    await page.keyboard.press("Enter");
  };
  await fill("Type", "run, good");
  await shows(["good-0", "run-0"]);
  await fill("Worker", "nobody");
  await page.getByText("No job fits this filter").waitFor();
  await page.getByRole("button", { name: "Clear the filter" }).click();
  await fill("Tenant", "t2");
  await shows(["wait-1", "wait-0"]);
  await page.getByRole("button", { name: "Remove the filter Tenant" }).click();
  await fill("Error contains", "한글");
  await shows(["bad-2", "bad-1", "bad-0"]);
  await page.reload();
  await shows(["bad-2", "bad-1", "bad-0"]);
});

test("filters by source and by time, typed in or followed from a job; they hold over a reload", async ({
  db,
  url,
  visit,
}) => {
  await using broker = await startTestBroker(url);
  const scan = { type: "scan", sourceDomain: "submissions" };
  await broker.jobs.dispatch({
    jobs: [
      { ...scan, id: "older", sourceId: "42" },
      { ...scan, id: "newer", sourceId: "42" },
      { ...scan, id: "another", sourceId: "43" },
      { type: "scan", id: "elsewhere", sourceDomain: "exams", sourceId: "42" },
    ],
  });
  await db.sql`UPDATE ai_job SET created_at = created_at - interval '5 days' WHERE job_id = 'older'`;
  const { page } = await visit(broker.url, { hash: "#/jobs" });
  const shows = (...wanted: string[]) =>
    until(`it shows ${wanted}`, async () => (await texts(page, ".cell-id a")).join() === wanted.join());
  const fill = async (label: string, text: string) => {
    await page.getByLabel(label, { exact: true }).fill(text);
    await page.keyboard.press("Enter");
  };
  await page.getByRole("button", { name: "More filters" }).click();
  await fill("Source domain", "submissions");
  await shows("another", "newer", "older");
  await fill("Source id", "42");
  await shows("newer", "older");
  const twoDaysAgo = new Date(Date.now() - 2 * 86_400_000).toISOString().slice(0, 16);
  await fill("Created after", twoDaysAgo);
  await shows("newer");
  await page.reload();
  await shows("newer");
  await page.getByRole("button", { name: "More filters" }).click();
  expect(await page.getByLabel("Created after", { exact: true }).inputValue()).toBe(twoDaysAgo);
  await page.getByRole("button", { name: "Remove the filter Created after" }).click();
  await shows("newer", "older");
  await fill("Created before", twoDaysAgo);
  await shows("older");
  await page.getByRole("link", { name: "older" }).click();
  await page.getByRole("link", { name: "submissions / 42" }).click();
  await shows("newer", "older");
});

test("rows in sight are told of changes, and none that is scrolled to has missed one", async ({
  db: _,
  url,
  visit,
}) => {
  await using broker = await startTestBroker(url);
  await broker.jobs.dispatch({ jobs: many(200) });
  const { page, calls } = await visit(broker.url, { hash: "#/jobs" });
  await page.getByText("200 in all").waitFor();
  const watches = () => calls.filter((call) => call === "JobService/WatchJobs").length;
  expect(watches()).toBe(0);
  await page.getByRole("grid", { name: "Jobs" }).focus();
  await page.keyboard.press("End");
  await until("the rows in sight are watched", () => watches() > 0);
  // The oldest is claimed first, and is the last in the list.
  await claim(broker, "many");
  await page.getByRole("row").filter({ hasText: "many-0" }).getByText("Running").waitFor();

  const asked = calls.filter((call) => call === "JobService/ListJobs").length;
  await broker.jobs.cancelJobs({ jobIds: ["many-100"] });
  await page.evaluate("document.querySelector('.rows').scrollTop = 90 * 34");
  await page.getByRole("row").filter({ hasText: "many-100" }).getByText("Cancelled").waitFor();
  expect(calls.filter((call) => call === "JobService/ListJobs")).toHaveLength(asked);
});

test("chosen jobs are cancelled, with their number and a reason first", async ({ db, url, visit }) => {
  await using broker = await startTestBroker(url);
  await givenJobs(broker);
  const { page } = await visit(broker.url, { hash: "#/jobs" });
  await page.getByLabel("Choose wait-0").check();
  await page.getByLabel("Choose good-0").check();
  await page.getByText("2 chosen").waitFor();
  await page.getByRole("button", { name: "Cancel jobs…" }).click();
  const dialog = page.getByRole("dialog", { name: "Cancel jobs" });
  expect(await textOf(dialog)).toContain("2 jobs");
  await dialog.getByLabel("Reason").fill("a mistake");
  await dialog.getByRole("button", { name: "Cancel jobs" }).click();
  await page.getByText("1 cancelled, 1 left as it was").waitFor();
  expect(await statusesOf(db, "wait")).toEqual(["CANCELLED", "PENDING"]);
  expect(await db.sql`SELECT cancel_reason FROM ai_job WHERE job_id = 'wait-0'`).toEqual([
    { cancel_reason: "a mistake" },
  ]);
});

test("all jobs of a filter are retried after their count is known; others are left alone", async ({
  db,
  url,
  visit,
}) => {
  await using broker = await startTestBroker(url);
  await givenJobs(broker);
  const { page } = await visit(broker.url, { hash: "#/jobs?type=bad" });
  await page.getByRole("button", { name: "Retry…" }).click();
  const dialog = page.getByRole("dialog", { name: "Retry jobs" });
  await dialog.getByText("3 jobs").waitFor();
  expect(await statusesOf(db, "bad")).toEqual(["FAILED", "FAILED", "FAILED"]);
  await dialog.getByRole("button", { name: "Retry" }).click();
  await page.getByText("3 pending again").waitFor();
  expect(await statusesOf(db, "bad")).toEqual(["PENDING", "PENDING", "PENDING"]);
  expect(await statusesOf(db, "good")).toEqual(["DONE"]);
});

test("more jobs than one request takes are cancelled page by page; who leaves midway hears how many were", async ({
  db,
  url,
  visit,
}) => {
  await using broker = await startTestBroker(url);
  await broker.jobs.dispatch({ jobs: [...many(600), { type: "other" }] });
  await broker.jobs.dispatch({ jobs: many(600, 600) });
  const { page } = await visit(broker.url, { hash: "#/jobs?type=many" });
  const cancelling = async (count: string) => {
    await page.getByRole("button", { name: "Cancel jobs…" }).click();
    const dialog = page.getByRole("dialog", { name: "Cancel jobs" });
    await dialog.getByText(count, { exact: true }).waitFor();
    await dialog.getByRole("button", { name: "Cancel jobs" }).click();
    return dialog;
  };
  // Behind the first five hundred no page comes, until somebody has left.
  const left = Promise.withResolvers<void>();
  let behind = Promise.resolve();
  await page.route("**/*.JobService/ListJobs", (route) => behind.then(() => route.continue()).catch(() => undefined));
  await page.route("**/*.JobService/CancelJobs", (route) => {
    behind = left.promise;
    return route.continue();
  });
  const dialog = await cancelling("1,200 jobs");
  await dialog.getByText("500 so far…").waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  await page.getByText("500 cancelled", { exact: true }).waitFor();
  left.resolve();
  await page.unrouteAll();
  const pending = async (type: string) =>
    (await db.sql`SELECT FROM ai_job WHERE job_type = ${type} AND status = 'PENDING'`).length;
  expect(await pending("many")).toBe(700);

  await cancelling("700 jobs");
  await page.getByText("700 cancelled", { exact: true }).waitFor();
  expect(await pending("many")).toBe(0);
  expect(await pending("other")).toBe(1);
  await broker.jobs.dispatch({ jobs: many(600, 1_200) });
  await broker.jobs.dispatch({ jobs: many(600, 1_800) });
  await cancelling("1,200 jobs");
  await page.getByText("1,200 cancelled", { exact: true }).waitFor();
  expect(await pending("many")).toBe(0);

  // One that breaks off says how far it came, and goes on when it is asked again.
  await broker.jobs.dispatch({ jobs: many(600, 2_400) });
  await broker.jobs.dispatch({ jobs: many(600, 3_000) });
  let calls = 0;
  await page.route("**/*.JobService/CancelJobs", (route) => (++calls === 3 ? route.abort() : route.continue()));
  const broken = await cancelling("1,200 jobs");
  await page.getByText("1,000 cancelled", { exact: true }).waitFor();
  expect(await pending("many")).toBe(200);
  await broken.getByRole("button", { name: "Cancel jobs" }).click();
  await page.getByText("200 cancelled", { exact: true }).waitFor();
  expect(await pending("many")).toBe(0);
});

test("a release takes running jobs from their workers, and a priority goes to pending ones", async ({
  db,
  url,
  visit,
}) => {
  await using broker = await startTestBroker(url);
  await givenJobs(broker);
  const { page } = await visit(broker.url, { hash: "#/jobs" });
  await page.getByRole("button", { name: "Release…" }).click();
  const release = page.getByRole("dialog", { name: "Take jobs from their workers" });
  await release.getByText("1 job", { exact: true }).waitFor();
  await release.getByRole("button", { name: "Release" }).click();
  await page.getByText("1 released").waitFor();
  expect(await statusesOf(db, "run")).toEqual(["PENDING"]);
  await page.getByRole("button", { name: "Priority…" }).click();
  const priority = page.getByRole("dialog", { name: "Change the priority" });
  await priority.getByLabel("Priority").fill("-7");
  await priority.getByText("3 jobs").waitFor();
  await priority.getByRole("button", { name: "Priority" }).click();
  await page.getByText("3 changed").waitFor();
  expect(await db.sql`SELECT DISTINCT priority FROM ai_job WHERE status = 'PENDING'`).toEqual([{ priority: -7 }]);
});

test("where an action fits no job it says so and cannot be confirmed; Escape leaves", async ({ db: _, url, visit }) => {
  await using broker = await startTestBroker(url);
  await givenJobs(broker);
  const { page } = await visit(broker.url, { hash: "#/jobs?status=DONE" });
  await page.getByRole("button", { name: "Cancel jobs…" }).click();
  const dialog = page.getByRole("dialog", { name: "Cancel jobs" });
  await dialog.getByText("0 jobs").waitFor();
  expect(await dialog.getByRole("button", { name: "Cancel jobs" }).isDisabled()).toBe(true);
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
});

test("the list is walked by keyboard alone", async ({ db: _, url, visit }) => {
  await using broker = await startTestBroker(url);
  await givenJobs(broker);
  const { page } = await visit(broker.url, { hash: "#/jobs" });
  await page.getByText("wait-1").waitFor();
  await page.getByRole("grid", { name: "Jobs" }).focus();
  for (const key of ["ArrowDown", "ArrowDown", " ", "End", " ", "ArrowUp"]) await page.keyboard.press(key);
  await page.getByText("2 chosen").waitFor();
  expect(await texts(page, '.rows-row[aria-selected="true"] .cell-id')).toEqual(["good-0", "bad-0"]);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Job", exact: true }).waitFor();
  expect(page.url()).toContain("#/jobs/bad-1");
});
