/** A list of a million jobs: it opens at once, goes on page by page, and holds little at a time. */
import { expect } from "vitest";
import { openPool } from "../../src/store/db.ts";
import { startTestBroker } from "../support/broker.ts";
import { until } from "../support/until.ts";
import { test, textOf } from "./visit.ts";

const JOBS = 1_000_000;

test("a million jobs are scrolled through with some hundred rows in the page", { timeout: 180_000 }, async ({
  db: _,
  url,
  visit,
}) => {
  // A broker's pool does not wait for one statement for that long.
  const sql = openPool({ url, statementTimeoutMs: 0, lockTimeoutMs: 10_000 }, 1);
  // Ended ones: they are in no small table, so no trigger has to run. Failed, so that they can be retried.
  await sql.begin(async (tx) => {
    await tx`ALTER TABLE ai_job DISABLE TRIGGER USER`;
    await tx`
      INSERT INTO ai_job (job_id, job_type, status, attempt_count)
      SELECT 'many-' || n, 'many', 'FAILED', 1 FROM generate_series(1, ${JOBS}::int) n`;
    await tx`ALTER TABLE ai_job ENABLE TRIGGER USER`;
  });
  await sql.end();
  await using broker = await startTestBroker(url, { STATEMENT_TIMEOUT_MS: "10000" });

  const { page, calls } = await visit(broker.url, { hash: "#/jobs" });
  await page.getByText(`many-${JOBS}`, { exact: true }).waitFor();
  await page.getByRole("grid").focus();
  let known = 0;
  for (let pages = 0; pages < 12; pages += 1) {
    await page.keyboard.press("End");
    known = await until("more is there", async () => {
      const text = (await textOf(page.locator(".status-line"))).replaceAll(/\D/g, "");
      return Number(text) > known && Number(text);
    });
  }
  expect(known).toBeGreaterThan(2_000);
  expect(await page.locator(".rows-row").count()).toBeLessThan(120);
  // What was let go comes back.
  await page.keyboard.press("Home");
  await page.getByText(`many-${JOBS}`, { exact: true }).waitFor();
  // How many there are is asked for an action alone, and no further than anybody needs to know.
  expect(calls).not.toContain("JobService/CountJobs");
  await page.getByRole("button", { name: "Retry…" }).click();
  await page.getByRole("dialog").getByText("More than 100,000 jobs").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  expect(calls.filter((call) => call === "JobService/CountJobs")).toHaveLength(1);
  // A filter that no job meets walks through all of them, and ends.
  await page.getByRole("button", { name: "More filters" }).click();
  await page.getByLabel("Error contains").fill("there is none");
  await page.keyboard.press("Enter");
  await page.getByText("No job fits this filter").waitFor({ timeout: 60_000 });
});
