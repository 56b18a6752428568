/** Signing in and out, and what is left behind. */
import { expect } from "vitest";
import { API_TOKEN, startTestBroker, WORKER_TOKEN } from "../support/broker.ts";
import { test, textOf } from "./visit.ts";
import { claim } from "./work.ts";

const READ_TOKEN = "story-read-token";

test("a token opens the pages; it is in this tab's storage and nowhere else", async ({ url, visit }) => {
  await using broker = await startTestBroker(url);
  const { page } = await visit(broker.url, { token: "" });
  await page.getByLabel("API token").fill(API_TOKEN);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Overview" }).waitFor();

  expect(page.url()).not.toContain(API_TOKEN);
  expect(await page.evaluate("sessionStorage.getItem('ai-job-broker.token')")).toBe(API_TOKEN);
  expect(await page.evaluate("JSON.stringify(localStorage)")).not.toContain(API_TOKEN);
  expect(await page.context().cookies()).toEqual([]);

  await page.reload();
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("API token").waitFor();
  expect(await page.evaluate("sessionStorage.getItem('ai-job-broker.token')")).toBeNull();
  await page.reload();
  await page.getByLabel("API token").waitFor();
});

test("a token that does not open it is answered with the broker's own words", async ({ url, visit }) => {
  await using broker = await startTestBroker(url);
  const { page } = await visit(broker.url, { token: "" });
  const attempt = async (token: string, reason: string) => {
    await page.getByLabel("API token").fill(token);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("alert").filter({ hasText: reason }).waitFor();
  };
  await attempt("no-such-token", "BAD_TOKEN");
  await attempt(WORKER_TOKEN, "WRONG_ROLE");
});

test("a broker without an api token says which setting opens it", async ({ url, visit }) => {
  await using broker = await startTestBroker(url, { INTERNAL_API_TOKEN: "" });
  const { page } = await visit(broker.url, { token: "anything" });
  const text = await textOf(page.getByRole("alert"));
  expect(text).toContain("TOKEN_NOT_CONFIGURED");
  expect(text).toContain("INTERNAL_API_TOKEN");
});

test("a token that is taken away ends the visit, and says why", async ({ url, visit }) => {
  await using first = await startTestBroker(url, { INTERNAL_API_TOKEN: `old-token,${API_TOKEN}` });
  const { page } = await visit(first.url, { token: "old-token" });
  await page.getByText("Live", { exact: true }).waitFor();
  const port = String(first.port);
  await first.stop();
  await using _second = await startTestBroker(url, { PORT: port });
  await page.getByRole("alert").filter({ hasText: "BAD_TOKEN" }).waitFor({ timeout: 15_000 });
  await page.getByLabel("API token").waitFor();
}, 30_000);

test("a token that only reads shows all pages and no button that would change something", async ({
  db,
  url,
  visit,
}) => {
  await using broker = await startTestBroker(url, { INTERNAL_READ_TOKEN: READ_TOKEN });
  const { jobId } = (await broker.jobs.dispatch({ jobs: [{ type: "ocr" }] })).results[0]!;
  await broker.admin.createWebhook({ url: "https://example.com/hook" });
  await claim(broker, "ocr", { workerId: "caller" });
  expect(await db.sql`SELECT FROM ai_job`).toHaveLength(1);
  const { page } = await visit(broker.url, { token: READ_TOKEN });
  await page.getByText("Read only").waitFor();
  const places: [hash: string, shown: string][] = [
    ["#/", "ocr"],
    ["#/jobs", jobId],
    [`#/jobs/${jobId}`, "Dispatched"],
    ["#/workers", "caller"],
    ["#/webhooks", "https://example.com/hook"],
    ["#/system", "durability"],
  ];
  for (const [hash, shown] of places) {
    await page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
    await page.getByRole("main").getByText(shown).first().waitFor();
    const buttons = await page.getByRole("main").getByRole("button").allInnerTexts();
    // Those that ask something first end in dots.
    expect(buttons.filter((text) => /…$|^(Pause|Resume|Send a test)$/.test(text))).toEqual([]);
  }
});
